"""`/organization`: the organization of the token, and the profile that defines its product."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from angarium.api.answer import Out
from angarium.api.auth import OrgCaller, ServicesOf
from angarium.api.body import Wire
from angarium.api.field import says
from angarium.api.route import API_PATH, WireRoute

router = APIRouter(prefix=API_PATH, route_class=WireRoute, tags=["Organization"])

Profile = Annotated[str, says("Name of its profile. An organization without one has `standard`.", "standard")]


class OrganizationIn(Wire):
    """The profile to assign."""

    profile: Annotated[
        Annotated[str, Field(min_length=1, max_length=200)],
        says("Name of a profile that the server loads. It cannot be changed later.", "standard"),
    ]


class OrganizationOut(Out):
    """A webhook product of the operator."""

    id: Annotated[str, says("Id of the organization.", "org_23rb8YdGqMT0qIzpgGwdXfHirMu")]
    profile: Profile


@router.get("/organization", operation_id="v1.organization.get")
async def get_organization(caller: OrgCaller, services: ServicesOf) -> OrganizationOut:
    """Get the organization.

    The organization that the token belongs to.
    """
    return OrganizationOut(id=caller.org_id, profile=(await services.product.of(caller.org_id)).name)


@router.put("/organization", operation_id="v1.organization.assign-profile")
async def assign_profile(caller: OrgCaller, services: ServicesOf, body: OrganizationIn) -> OrganizationOut:
    """Assign a profile.

    The profile defines the format, signatures and schedule of the organization's webhooks. Its event types
    are created. A profile can be assigned once. If the organization has another, the response is 409.
    """
    product = await services.provision.assign(caller.org_id, body.profile)
    return OrganizationOut(id=caller.org_id, profile=product.name)
