"""`/auth`: links into the portal, and logging out of it."""

from __future__ import annotations

import base64
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter
from pydantic import Field, StringConstraints
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from angarium.api.auth import AppRef, OrgCaller, ServicesOf, TokenCaller
from angarium.api.body import Wire, WireRoute
from angarium.api.field import EventTypeName, Flag
from angarium.api.native.application import ApplicationIn, public_id
from angarium.core import ids
from angarium.core.errors import Invalid
from angarium.core.nouns import Application
from angarium.service.services import Services
from angarium.service.token import APPLICATION_LIFETIME, Capability

router = APIRouter(route_class=WireRoute, tags=["Authentication"])


class AppPortalAccessIn(Wire):
    application: ApplicationIn | None = None
    """Makes the application when there is none; its uid must be the one in the path."""
    feature_flags: Annotated[list[EventTypeName], Field(max_length=25)] = Field(default_factory=list)
    capabilities: list[Capability] | None = None
    """What the link allows; everything when missing."""
    read_only: Flag | None = None
    """The older way of allowing nothing but looking."""
    expiry: Annotated[int, Field(ge=3600, le=604800, strict=True)] | None = None
    """Seconds until the link expires; a week when missing."""
    session_id: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9@_-]{1,64}$")] | None = None

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
    """A link into the portal for one application, and the token that is in it."""
    application = await _application(services, caller.org_id, app_id, body.application)
    token = services.token.for_application(
        caller.org_id,
        application.id,
        feature_flags=body.feature_flags,
        capabilities=body.granted(),
        session_id=body.session_id,
        lifetime=APPLICATION_LIFETIME if body.expiry is None else body.expiry,
    )
    return _access(request, application, token)


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
    return _access(request, application, services.token.for_application(caller.org_id, application.id))


async def _application(
    services: Services, org_id: str, ref: str, wanted: ApplicationIn | None
) -> Application:
    if wanted is None:
        return await services.application.find(org_id, ref)
    if ids.parse(ids.APPLICATION, ref) is not None:  # an id cannot be chosen, so nothing can be made of it
        return await services.application.find(org_id, ref)
    if wanted.uid is None:
        raise Invalid.field("application.uid", "The application's uid must be given: application_uid_missing")
    if wanted.uid != ref:
        raise Invalid.field(
            "application.uid", "The application's uid is not the one in the path: application_uid_mismatch"
        )
    return (await services.application.ensure(org_id, ref, wanted.draft()))[0]


def _access(request: Request, application: Application, token: str) -> Response:
    base_url: str = request.app.state.base_url or str(request.base_url).rstrip("/")
    key: dict[str, Any] = {"appId": public_id(application), "token": token}
    # after the # so that it reaches no server and no log
    packed = base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")
    return JSONResponse(
        {"url": f"{base_url}/login#key={packed}", "token": token}, headers={"cache-control": "no-store"}
    )


@router.post("/auth/logout", operation_id="v1.authentication.logout", status_code=204)
async def logout(caller: TokenCaller, services: ServicesOf) -> Response:
    """Make an application token useless from now on, on every server. Other tokens cannot be logged out."""
    await services.token.revoke(caller.claims)
    return Response(status_code=204)
