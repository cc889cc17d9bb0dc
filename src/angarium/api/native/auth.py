"""`/auth`: links into the portal, and ending them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field, StringConstraints
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from angarium.api.auth import AppRef, OrgAppOf, OrgCaller, ServicesOf, TokenCaller, base_url
from angarium.api.body import Wire, WireRoute
from angarium.api.field import EventTypeName, Flag
from angarium.api.native.application import ApplicationIn
from angarium.core import ids
from angarium.core.claims import Capability
from angarium.core.errors import NotFound
from angarium.core.nouns import Application
from angarium.service.portal_link import PortalLink
from angarium.service.services import Services

router = APIRouter(route_class=WireRoute, tags=["Authentication"])

SessionId = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9@_-]{1,64}$")]


class AppPortalAccessIn(Wire):
    application: ApplicationIn | None = None
    """Creates the application if it does not exist; its uid must be the one in the path."""
    feature_flags: Annotated[list[EventTypeName], Field(max_length=25)] = Field(default_factory=list)
    capabilities: list[Capability] | None = None
    """What the link allows. Default: everything."""
    read_only: Flag | None = None
    """The older way to allow viewing only."""
    expiry: Annotated[int, Field(ge=3600, le=604800, strict=True)] | None = None
    """Seconds until the link expires. Default: one week."""
    session_id: SessionId | None = None

    def granted(self) -> list[Capability] | None:
        if self.read_only:
            return [Capability.VIEW]
        return None if self.capabilities is None else list(dict.fromkeys(self.capabilities))


class AppPortalAccessOut(Wire):
    url: str
    token: str


@router.post(
    "/auth/app-portal-access/{app_id}",
    operation_id="v1.authentication.app-portal-access",
    response_model=AppPortalAccessOut,
)
async def app_portal_access(
    request: Request,
    caller: OrgCaller,
    services: ServicesOf,
    app_id: AppRef,
    body: AppPortalAccessIn,
) -> Response:
    """Create a portal link for one application, and return it with its token."""
    application = await _application(services, caller.org_id, app_id, body.application)
    link = await services.portal_link.give(
        caller.org_id,
        application.id,
        (await services.product.of(caller.org_id)).profile.portal,
        feature_flags=body.feature_flags,
        capabilities=body.granted(),
        session_id=body.session_id,
        lifetime=body.expiry,
        origin=caller.claims.origin,
    )
    return _access(request, link)


@router.post(
    "/auth/dashboard-access/{app_id}",
    operation_id="v1.authentication.dashboard-access",
    response_model=AppPortalAccessOut,
    deprecated=True,
)
async def dashboard_access(
    request: Request, caller: OrgCaller, services: ServicesOf, app_id: AppRef
) -> Response:
    """The older form of app-portal-access; needs no body."""
    application = await services.application.find(caller.org_id, app_id)
    portal = (await services.product.of(caller.org_id)).profile.portal
    link = await services.portal_link.give(caller.org_id, application.id, portal, origin=caller.claims.origin)
    return _access(request, link)


async def _application(
    services: Services, org_id: str, ref: str, wanted: ApplicationIn | None
) -> Application:
    try:
        return await services.application.find(org_id, ref)
    except NotFound:
        # an id cannot be chosen, so nothing can be made of it
        if wanted is None or ids.parse(ids.APPLICATION, ref) is not None:
            raise
    wanted.check_uid(ref, "body", "application")
    return (await services.application.ensure(org_id, ref, wanted.draft()))[0]


def _access(request: Request, link: PortalLink) -> Response:
    return JSONResponse(
        {"url": link.url(base_url(request)), "token": link.token}, headers={"cache-control": "no-store"}
    )


class ExpireAllIn(Wire):
    expiry: Annotated[int, Field(ge=0, le=604800, strict=True)] | None = None
    """Seconds until the tokens are refused. Default: at once."""
    session_ids: Annotated[list[SessionId], Field(max_length=100)] | None = None
    """Only tokens with one of these session ids. Default: all tokens of the application."""


@router.post("/auth/app/{app_id}/expire-all", operation_id="v1.authentication.expire-all", status_code=204)
async def expire_all(application: OrgAppOf, services: ServicesOf, body: ExpireAllIn) -> Response:
    """Revoke all current tokens, portal links and sessions of the application, on every server.

    Those created later are not affected.
    """
    await services.token.end_all(application.id, session_ids=body.session_ids, delay=float(body.expiry or 0))
    return Response(status_code=204)


@router.post("/auth/logout", operation_id="v1.authentication.logout", status_code=204)
async def logout(caller: TokenCaller, services: ServicesOf) -> Response:
    """Revoke an application token on every server. Other tokens cannot be logged out."""
    await services.token.revoke(caller.claims)
    return Response(status_code=204)
