"""Authenticates callers by bearer token: as FastAPI dependencies, and as `caller_of`.

An organization token may do everything in its organization. An application token gets 403 for operations of
organizations, and 404 for other applications, so that it cannot find out which exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Path, Security
from fastapi.security import HTTPBearer
from starlette.requests import Request

from angarium.api.field import APPLICATION, ENDPOINT
from angarium.core import ids
from angarium.core.audit import ActorKind
from angarium.core.claims import Capability, Claims
from angarium.core.errors import NotAllowed, NotAuthenticated, NotFound
from angarium.core.nouns import Application
from angarium.service import audit
from angarium.service.services import Services


@dataclass(frozen=True, slots=True)
class Caller:
    """The holder of a token. `app_id` is None for an organization."""

    org_id: str
    app_id: UUID | None
    feature_flags: frozenset[str]
    capabilities: frozenset[Capability]
    session_id: str | None
    claims: Claims

    def require(self, capability: Capability) -> None:
        """Raises NotAllowed when the token does not carry the capability."""
        if capability not in self.capabilities:
            raise NotAllowed()

    def require_organization(self) -> None:
        """Raises NotAllowed for an application token."""
        if self.app_id is not None:
            raise NotAllowed()


def base_url(request: Request) -> str:
    """How clients reach this server."""
    configured: str | None = request.app.state.base_url
    return configured or str(request.base_url).rstrip("/")


def services_of(request: Request) -> Services:
    """The use cases behind this server."""
    services: Services = request.app.state.services
    return services


def header_of(request: Request, name: bytes) -> str:
    """A header's value, or "". `name` in lower case. Starlette's header mapping would cost more."""
    for key, value in request.scope["headers"]:
        if key == name:
            return str(value, "latin-1")
    return ""


def bearer_of(authorization: str) -> str:
    """The token in an Authorization header, or ""."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


async def caller_of(request: Request) -> Caller:
    """Verify the request's token, once per request. Raises NotAuthenticated.

    An organization token is looked up once per second, and otherwise verified without waiting.
    """
    known = request.scope.get("angarium.caller")
    if isinstance(known, Caller):
        return known
    services = services_of(request)
    token = bearer_of(header_of(request, b"authorization"))
    if not token:
        raise NotAuthenticated()
    claims = services.token.at_once(token)
    if claims is None:
        # sessions are for browsers only
        claims = await services.login_throttle.admit(
            services.token, "token", token, lambda shown: shown.link is None
        )
    kind = ActorKind.ORGANIZATION_TOKEN if claims.app_id is None else ActorKind.APPLICATION_TOKEN
    audit.acting(kind, claims.name, org_id=claims.org_id, app_id=claims.app_id)
    caller = Caller(
        claims.org_id, claims.app_id, claims.feature_flags, claims.capabilities, claims.session_id, claims
    )
    request.scope["angarium.caller"] = caller
    return caller


async def application_of(services: Services, caller: Caller, ref: str) -> Application:
    """The application `ref` if the caller may see it. Raises NotFound otherwise."""
    application = await services.application.find(caller.org_id, ref)
    if caller.app_id is not None and caller.app_id != application.id:
        raise NotFound()
    return application


# describes the scheme in the OpenAPI document; `caller_of` does the work
_bearer = HTTPBearer(auto_error=False, description="An organization or application token.")


async def _token(request: Request, _: object = Security(_bearer)) -> Caller:
    return await caller_of(request)


async def _any(request: Request, _: object = Security(_bearer)) -> Caller:
    caller = await caller_of(request)
    caller.require(Capability.VIEW)
    return caller


async def _organization(request: Request, _: object = Security(_bearer)) -> Caller:
    caller = await caller_of(request)
    caller.require_organization()
    return caller


# any token / a token with the capability to view / an organization token
TokenCaller = Annotated[Caller, Depends(_token)]
AnyCaller = Annotated[Caller, Depends(_any)]
OrgCaller = Annotated[Caller, Depends(_organization)]
ServicesOf = Annotated[Services, Depends(services_of)]
AppRef = Annotated[
    str, Path(alias="app_id", description="Id or uid of the application.", examples=[APPLICATION])
]
EndpointRef = Annotated[
    str, Path(alias="endpoint_id", description="Id or uid of the endpoint.", examples=[ENDPOINT])
]


async def _application(services: ServicesOf, caller: AnyCaller, app_id: AppRef) -> Application:
    return await application_of(services, caller, app_id)


async def _application_of_organization(
    services: ServicesOf, caller: OrgCaller, app_id: AppRef
) -> Application:
    return await application_of(services, caller, app_id)


# the application of the path parameter `app_id`, for any token that may view it / for organizations only
AppOf = Annotated[Application, Depends(_application)]
OrgAppOf = Annotated[Application, Depends(_application_of_organization)]


def requires(capability: Capability) -> Any:
    """For `dependencies=[requires(Capability.…)]`: the token must carry the capability."""

    async def check(caller: AnyCaller) -> None:
        caller.require(capability)

    return Depends(check)


def application_id(application: Application) -> str:
    """The public id of an application."""
    return ids.text(ids.APPLICATION, application.id)
