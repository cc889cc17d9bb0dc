"""`/auth`: links into the portal, ending them, and the organization's tokens and API keys.

Tokens are listed after their first use, API keys of products from their creation. Svix's API has no list.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from fastapi import APIRouter
from msgspec import UNSET, UnsetType
from pydantic import Field, StringConstraints
from starlette.requests import Request

from angarium.api.answer import NOT_STORED, Out, Reply
from angarium.api.auth import AppRef, OrgAppOf, OrgCaller, ServicesOf, TokenCaller, base_url
from angarium.api.body import Wire
from angarium.api.field import (
    APPLICATION,
    NOW,
    OLD,
    RARE,
    ApplicationId,
    EventTypeName,
    Flag,
    Name,
    Time,
    says,
    wire_time,
)
from angarium.api.native.application import ApplicationIn
from angarium.api.route import API_PATH, WireRoute
from angarium.core import ids
from angarium.core.claims import Capability
from angarium.core.errors import Invalid, NotFound
from angarium.core.nouns import Application
from angarium.service.api_key import PREFIX, ApiKeys, name_of
from angarium.service.login import PortalLink
from angarium.service.services import Services
from angarium.service.token import OrganizationTokens, id_of
from angarium.store.api_key import ApiKey
from angarium.store.token import OrganizationToken

router = APIRouter(prefix=API_PATH, route_class=WireRoute, tags=["Authentication"])

API_KEY: Final = f"{PREFIX}0ERndamqNyk3haXpUQDyjOZPpha"
SessionId = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9@_-]{1,64}$")]


class AppPortalAccessIn(Wire):
    """What a portal link allows."""

    application: Annotated[
        ApplicationIn | None,
        says("Creates the application if it does not exist; its uid must be the one in the path."),
        RARE,
    ] = None
    feature_flags: Annotated[
        list[EventTypeName],
        Field(max_length=25),
        says("Shows the event types that have one of these flags, too.", ["beta"]),
    ] = Field(default_factory=list)
    capabilities: Annotated[
        list[Capability] | None,
        says("What the link allows. Default: everything.", ["ViewBase", "ManageEndpoint"]),
    ] = None
    read_only: Annotated[Flag | None, says("The older way to allow viewing only.", True), OLD] = None
    expiry: Annotated[
        Annotated[int, Field(ge=3600, le=604800, strict=True)] | None,
        says("Seconds until the link expires. Default: one week.", 86400),
    ] = None
    session_id: Annotated[SessionId | None, says("A name by which `expire-all` ends the link.", "user_7")] = (
        None
    )

    def granted(self) -> list[Capability] | None:
        if self.read_only:
            return [Capability.VIEW]
        return None if self.capabilities is None else list(dict.fromkeys(self.capabilities))


class AppPortalAccessOut(Out):
    """A portal link."""

    url: Annotated[
        str,
        says(
            "The link. Anyone who has it has access until it expires.", "https://example.com/login#key=eyJh…"
        ),
    ]
    token: Annotated[
        str, says("The token in the link. It can be used for the API, too.", "eyJhbGciOiJIUzI1…")
    ]


class ExpireAllIn(Wire):
    """Which tokens end, and when."""

    expiry: Annotated[
        Annotated[int, Field(ge=0, le=604800, strict=True)] | None,
        says("Seconds until the tokens are refused. Default: at once.", 60),
    ] = None
    session_ids: Annotated[
        Annotated[list[SessionId], Field(max_length=100)] | None,
        says(
            "Only tokens with one of these session ids. Default: all tokens of the application.", ["user_7"]
        ),
    ] = None


class CredentialOut(Out):
    """A token of the organization that was used, or an API key of a product's customer."""

    id: Annotated[str, says("Identifies the credential for revoking. Not secret.", API_KEY)]
    kind: Annotated[Literal["token", "key"], says("What it is.", "key")]
    beginning: Annotated[
        str, says("The beginning of a key, or the name of a token in the audit log.", "sk_live_4f")
    ]
    name: Annotated[str | None, says("The name of a key.", "Production")]
    scope: Annotated[str | None, says("The scope of a key.", "organization")]
    application_id: Annotated[ApplicationId | None, says("The application of a key.")]
    created_at: Annotated[Time, says("When a key was created, or when a token was first used.", NOW)]
    last_used_at: Annotated[Time | None, says("When it was last used, to the minute.", NOW)]
    expires_at: Annotated[Time | None, says("When a token expires; null: never.", None)]
    revoked_at: Annotated[Time | None, says("When it was revoked; null: it was not.", None)]


class CredentialsOut(Out):
    """All credentials of the organization."""

    data: Annotated[list[CredentialOut], says("Tokens first, then keys.")]


class ApiKeyIn(Wire):
    """An API key to create."""

    application: Annotated[
        Annotated[str, Field(max_length=256)], says("Id or uid of the application.", APPLICATION)
    ]
    name: Annotated[Name, says("A name that no other active key of the application has.", "Production")]
    scope: Annotated[
        Annotated[str, Field(max_length=256)] | None,
        says("A scope of the profile. Default: its first.", "organization"),
    ] = None
    sandbox: Annotated[Flag, says("Whether it is a key of the sandbox.", False), RARE] = False


class ApiKeyOut(Out, kw_only=True):
    """A new API key."""

    id: Annotated[str, says("Identifies the key in the list and for revoking. Not secret.", API_KEY)]
    key: Annotated[str, says("The key. It is not shown again.", "sk_live_4f…")]
    secret: Annotated[
        str | UnsetType, says("The secret of a product whose keys have two parts.", "9c1b…")
    ] = UNSET
    scope: Annotated[str, says("The scope of the key.", "organization")]


class RevokeIn(Wire):
    """Give either `id` or `token`."""

    id: Annotated[
        Annotated[str, Field(max_length=100)] | None, says("The `id` in the list of credentials.", API_KEY)
    ] = None
    token: Annotated[
        Annotated[str, Field(max_length=8192)] | None,
        says(
            "The token itself, of the organization or an application, even if it was never used.",
            "eyJhbGciOiJIUzI1…",
        ),
        RARE,
    ] = None


@router.post("/auth/app-portal-access/{app_id}", operation_id="v1.authentication.app-portal-access")
async def app_portal_access(
    request: Request, caller: OrgCaller, services: ServicesOf, app_id: AppRef, body: AppPortalAccessIn
) -> Reply[AppPortalAccessOut]:
    """Create a portal link.

    The link opens the portal for one application. The response has its token, too, with which the API can be
    called.
    """
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
    deprecated=True,
)
async def dashboard_access(
    request: Request, caller: OrgCaller, services: ServicesOf, app_id: AppRef
) -> Reply[AppPortalAccessOut]:
    """Create a portal link (older form).

    Same as `app-portal-access` with an empty body.
    """
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


def _access(request: Request, link: PortalLink) -> Reply[AppPortalAccessOut]:
    access = AppPortalAccessOut(url=link.url(base_url(request)), token=link.token)
    return Reply(access, headers=NOT_STORED)


@router.post("/auth/app/{app_id}/expire-all", operation_id="v1.authentication.expire-all", status_code=204)
async def expire_all(application: OrgAppOf, services: ServicesOf, body: ExpireAllIn) -> None:
    """Revoke an application's tokens.

    Ends all current tokens, portal links and sessions of the application, on every server. Those created
    later are not affected.
    """
    await services.token.end_all(application.id, session_ids=body.session_ids, delay=float(body.expiry or 0))


@router.post("/auth/logout", operation_id="v1.authentication.logout", status_code=204)
async def logout(caller: TokenCaller, services: ServicesOf) -> None:
    """Log out.

    Revokes the application token of the request, on every server. Other tokens cannot be logged out.
    """
    await services.token.revoke(caller.claims)


@router.get("/auth/credential", operation_id="v1.credential.list")
async def list_credentials(caller: OrgCaller, services: ServicesOf) -> CredentialsOut:
    """List credentials.

    The API keys and the used tokens of the organization, including revoked ones.
    """
    return await credentials(services.api_key, services.token.organization, caller.org_id)


async def credentials(keys: ApiKeys, tokens: OrganizationTokens, org_id: str) -> CredentialsOut:
    """The answer of the list."""
    found = [_token(one) for one in await tokens.page(org_id)]
    return CredentialsOut(data=found + [_key(one) for one in await keys.keys(org_id)])


@router.post("/auth/credential", operation_id="v1.credential.create", status_code=201)
async def create_key(caller: OrgCaller, services: ServicesOf, body: ApiKeyIn) -> Reply[ApiKeyOut]:
    """Create an API key.

    A key of the product's own API, for a customer. The response is the only one that has the key. If an
    active key of the application has the name, the response is 409. Products of the standard profile have no
    keys.
    """
    shown, key = await services.provision.add_key(
        caller.org_id, body.application, body.name, scope=body.scope, sandbox=body.sandbox
    )
    made = ApiKeyOut(id=name_of(key.id), key=shown.key, secret=shown.secret or UNSET, scope=key.scope)
    return Reply(made, headers=NOT_STORED)


@router.post("/auth/credential/revoke", operation_id="v1.credential.revoke", status_code=204)
async def revoke(caller: OrgCaller, services: ServicesOf, body: RevokeIn) -> None:
    """Revoke a credential.

    Permanent. A key ends at once, a token within a second on every server.
    """
    if (body.id is None) == (body.token is None):
        raise Invalid.field("id", "Give either id or token.")
    if body.token is not None:
        await services.token.revoke_shown(caller.org_id, body.token)
    else:
        await revoke_one(services.api_key, services.token.organization, caller.org_id, body.id or "")


async def revoke_one(keys: ApiKeys, tokens: OrganizationTokens, org_id: str, ref: str) -> None:
    """Revoke a credential by its id. Raises NotFound."""
    key_id = ids.parse(PREFIX, ref)
    if key_id is None:
        await tokens.revoke(org_id, ref)
    elif key_id in {one.id for one in await keys.keys(org_id)}:
        await keys.revoke(org_id, key_id)
    else:
        raise NotFound("No key has this id.")


def _token(one: OrganizationToken) -> CredentialOut:
    return CredentialOut(
        id=id_of(one.digest),
        kind="token",
        beginning=one.digest.hex()[:8],
        name=None,
        scope=None,
        application_id=None,
        created_at=wire_time(one.first_used_at),
        last_used_at=wire_time(one.last_used_at),
        expires_at=None if one.expires_at is None else wire_time(one.expires_at),
        revoked_at=None if one.revoked_at is None else wire_time(one.revoked_at),
    )


def _key(one: ApiKey) -> CredentialOut:
    return CredentialOut(
        id=name_of(one.id),
        kind="key",
        beginning=one.beginning,
        name=one.name,
        scope=one.scope,
        application_id=None if one.app_id is None else ids.text(ids.APPLICATION, one.app_id),
        created_at=wire_time(one.created_at),
        last_used_at=None if one.last_used_at is None else wire_time(one.last_used_at),
        expires_at=None,
        revoked_at=None if one.revoked_at is None else wire_time(one.revoked_at),
    )
