"""`/auth/credential`: what opens an organization's doors, and taking it out of use, one by one. Ours alone.

Tokens are known once they were used, API keys of products from the start.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from angarium.api.auth import OrgCaller, ServicesOf
from angarium.api.body import Wire, WireRoute
from angarium.api.field import Moment, wire_time
from angarium.core import ids
from angarium.core.errors import Invalid, NotFound
from angarium.service import access, organization_token
from angarium.store.api_key import ApiKey
from angarium.store.organization_token import OrganizationToken

router = APIRouter(route_class=WireRoute, tags=["Authentication"])


class CredentialOut(Wire):
    id: str
    """To revoke it by; no secret."""
    kind: Literal["token", "key"]
    beginning: str
    """What a key begins with, or the name of a token in the audit log."""
    name: str | None
    scope: str | None
    application_id: str | None
    """The one application that a key is for."""
    created_at: Moment
    """When it was made; of a token, when it was used first."""
    last_used_at: Moment | None
    """To the minute."""
    expires_at: Moment | None
    revoked_at: Moment | None


class CredentialsOut(Wire):
    data: list[CredentialOut]


class RevokeIn(Wire):
    """One of the two."""

    id: Annotated[str, Field(max_length=100)] | None = None
    """As in the list."""
    token: Annotated[str, Field(max_length=8192)] | None = None
    """The token itself, one of an application too, also when it was never used."""


@router.get("/auth/credential", operation_id="v1.credential.list", response_model=CredentialsOut)
async def list_credentials(caller: OrgCaller, services: ServicesOf) -> dict[str, Any]:
    """The organization's API keys, and its tokens that were used; revoked ones too."""
    keys = await services.access.keys(caller.org_id)
    tokens = await services.token.organization.page(caller.org_id)
    return {"data": [_token(one) for one in tokens] + [_key(one) for one in keys]}


@router.post("/auth/credential/revoke", operation_id="v1.credential.revoke", status_code=204)
async def revoke(caller: OrgCaller, services: ServicesOf, body: RevokeIn) -> Response:
    """Refuse it from now on: a key at once, a token within a second on every server. For good."""
    if (body.id is None) == (body.token is None):
        raise Invalid.field("id", "Give the id of a token or key, or a token itself.")
    if body.token is not None:
        await services.token.revoke_shown(caller.org_id, body.token)
    elif (key_id := ids.parse(access.PREFIX, body.id or "")) is not None:
        if key_id not in {one.id for one in await services.access.keys(caller.org_id)}:
            raise NotFound("There is no such key.")
        await services.access.revoke(caller.org_id, key_id)
    else:
        await services.token.organization.revoke(caller.org_id, body.id or "")
    return Response(status_code=204)


def _token(one: OrganizationToken) -> dict[str, Any]:
    return {
        "id": organization_token.id_of(one.digest),
        "kind": "token",
        "beginning": one.digest.hex()[:8],
        "name": None,
        "scope": None,
        "applicationId": None,
        "createdAt": wire_time(one.first_used_at),
        "lastUsedAt": wire_time(one.last_used_at),
        "expiresAt": None if one.expires_at is None else wire_time(one.expires_at),
        "revokedAt": None if one.revoked_at is None else wire_time(one.revoked_at),
    }


def _key(one: ApiKey) -> dict[str, Any]:
    return {
        "id": access.name_of(one.id),
        "kind": "key",
        "beginning": one.beginning,
        "name": one.name,
        "scope": one.scope,
        "applicationId": None if one.app_id is None else ids.text(ids.APPLICATION, one.app_id),
        "createdAt": wire_time(one.created_at),
        "lastUsedAt": None if one.last_used_at is None else wire_time(one.last_used_at),
        "expiresAt": None,
        "revokedAt": None if one.revoked_at is None else wire_time(one.revoked_at),
    }
