"""`/auth/credential`: lists and revokes an organization's tokens and API keys. Svix's API has no equivalent.

Tokens are listed after their first use, API keys of products from their creation.
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
    """Identifies the credential for revoking. Not secret."""
    kind: Literal["token", "key"]
    beginning: str
    """The beginning of a key, or the name of a token in the audit log."""
    name: str | None
    scope: str | None
    application_id: str | None
    """The application of a key."""
    created_at: Moment
    """When a key was created, or when a token was first used."""
    last_used_at: Moment | None
    """To the minute."""
    expires_at: Moment | None
    revoked_at: Moment | None


class CredentialsOut(Wire):
    data: list[CredentialOut]


class RevokeIn(Wire):
    """Give either `id` or `token`."""

    id: Annotated[str, Field(max_length=100)] | None = None
    """As in the list."""
    token: Annotated[str, Field(max_length=8192)] | None = None
    """The token itself, of the organization or an application, even if it was never used."""


@router.get("/auth/credential", operation_id="v1.credential.list", response_model=CredentialsOut)
async def list_credentials(caller: OrgCaller, services: ServicesOf) -> dict[str, Any]:
    """The organization's API keys and used tokens, including revoked ones."""
    keys = await services.access.keys(caller.org_id)
    tokens = await services.token.organization.page(caller.org_id)
    return {"data": [_token(one) for one in tokens] + [_key(one) for one in keys]}


@router.post("/auth/credential/revoke", operation_id="v1.credential.revoke", status_code=204)
async def revoke(caller: OrgCaller, services: ServicesOf, body: RevokeIn) -> Response:
    """Revoke a credential permanently: a key at once, a token within a second on every server."""
    if (body.id is None) == (body.token is None):
        raise Invalid.field("id", "Give either id or token.")
    if body.token is not None:
        await services.token.revoke_shown(caller.org_id, body.token)
    elif (key_id := ids.parse(access.PREFIX, body.id or "")) is not None:
        if key_id not in {one.id for one in await services.access.keys(caller.org_id)}:
            raise NotFound("No key has this id.")
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
