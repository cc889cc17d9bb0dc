"""`/auth`: links into the portal, ending them, and the organization's tokens and API keys.

Tokens are listed after their first use, API keys of products from their creation. Svix's API has no list.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field, StringConstraints
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from angarium.api.auth import AppRef, OrgAppOf, OrgCaller, ServicesOf, TokenCaller, base_url
from angarium.api.body import Wire
from angarium.api.field import EventTypeName, Flag, Moment, wire_time
from angarium.api.native.application import ApplicationIn
from angarium.api.route import WireRoute
from angarium.core import ids
from angarium.core.claims import Capability
from angarium.core.errors import Invalid, NotFound
from angarium.core.nouns import Application
from angarium.service import api_key
from angarium.service.login import PortalLink
from angarium.service.services import Services
from angarium.service.token import id_of
from angarium.store.api_key import ApiKey
from angarium.store.organization_token import OrganizationToken

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
    keys = await services.api_key.keys(caller.org_id)
    tokens = await services.token.organization.page(caller.org_id)
    return {"data": [_token(one) for one in tokens] + [_key(one) for one in keys]}


@router.post("/auth/credential/revoke", operation_id="v1.credential.revoke", status_code=204)
async def revoke(caller: OrgCaller, services: ServicesOf, body: RevokeIn) -> Response:
    """Revoke a credential permanently: a key at once, a token within a second on every server."""
    if (body.id is None) == (body.token is None):
        raise Invalid.field("id", "Give either id or token.")
    if body.token is not None:
        await services.token.revoke_shown(caller.org_id, body.token)
    elif (key_id := ids.parse(api_key.PREFIX, body.id or "")) is not None:
        if key_id not in {one.id for one in await services.api_key.keys(caller.org_id)}:
            raise NotFound("No key has this id.")
        await services.api_key.revoke(caller.org_id, key_id)
    else:
        await services.token.organization.revoke(caller.org_id, body.id or "")
    return Response(status_code=204)


def _token(one: OrganizationToken) -> dict[str, Any]:
    return {
        "id": id_of(one.digest),
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
        "id": api_key.name_of(one.id),
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
