"""`…/endpoint/{endpoint_id}/secret` and `/headers`: what requests are signed and sent with."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import JSONResponse, Response

from angarium.api.auth import AnyCaller, AppOf, EndpointRef, ServicesOf, requires
from angarium.api.body import Wire
from angarium.api.route import WireRoute
from angarium.core.claims import Capability
from angarium.core.errors import NotAllowed
from angarium.core.signature import public_form
from angarium.service.endpoint_secret import DEFAULT_GRACE, MAX_GRACE, in_force, pending, shown

router = APIRouter(route_class=WireRoute)


class EndpointSecretOut(Wire):
    key: str
    """A symmetric secret, or the public half of an Ed25519 key."""
    next_key: str | None = None
    """The pending secret of a two-phase rotation, until it replaces `key`."""


class EndpointSecretRotateIn(Wire):
    key: str | None = None
    """The new secret. Default: generated."""
    grace_period_seconds: Annotated[int, Field(ge=0, le=MAX_GRACE, strict=True)] | None = None
    """How long the old secret also signs. Default: one day."""


@router.get(
    "/app/{app_id}/endpoint/{endpoint_id}/secret",
    operation_id="v1.endpoint.get-secret",
    response_model=EndpointSecretOut,
    dependencies=[requires(Capability.VIEW_SECRET)],
)
async def get_secret(
    application: AppOf, services: ServicesOf, caller: AnyCaller, endpoint_id: EndpointRef
) -> Response:
    """The current secret, with which a receiver verifies signatures. The audit log records each request.

    If the product shows a secret only once, application tokens get 403.
    """
    product = await services.product.of(application.org_id)
    if caller.app_id is not None and product.profile.secrets.display == "once":
        raise NotAllowed("A secret is shown only once, when it is created. Rotate it to get a new one.")
    endpoint = await services.endpoint.reveal_secret(application.id, endpoint_id)
    now = services.clock.now()
    shown = {"key": public_form(in_force(endpoint.keys, now).secret)}
    if (coming := pending(endpoint.keys, now)) is not None:
        shown["nextKey"] = public_form(coming.secret)
    return JSONResponse(shown, headers={"cache-control": "no-store"})


@router.post(
    "/app/{app_id}/endpoint/{endpoint_id}/secret/rotate",
    operation_id="v1.endpoint.rotate-secret",
    status_code=204,
    dependencies=[requires(Capability.MANAGE_SECRET)],
)
async def rotate_secret(
    application: AppOf, services: ServicesOf, endpoint_id: EndpointRef, body: EndpointSecretRotateIn
) -> Response:
    """Replace the secret. The old one also signs for a grace period. `get-secret` returns the new one."""
    grace = DEFAULT_GRACE if body.grace_period_seconds is None else body.grace_period_seconds
    product = await services.product.of(application.org_id)
    await services.endpoint.rotate_secret(
        application.id,
        endpoint_id,
        body.key,
        grace,
        two_phase=product.profile.secrets.rotation == "two_phase",
    )
    return Response(status_code=204)


_PATH = "/app/{app_id}/endpoint/{endpoint_id}/headers"
_MANAGE = requires(Capability.MANAGE_ENDPOINT)


class EndpointHeadersIn(Wire):
    headers: dict[str, str]


class EndpointHeadersPatchIn(Wire):
    headers: dict[str, str | None] = Field(default_factory=dict)
    """Null removes a header."""
    delete_headers: Annotated[list[str], Field(max_length=1000)] = Field(default_factory=list)


class EndpointHeadersOut(Wire):
    headers: dict[str, str]
    sensitive: list[str]
    """Names of headers whose values are not shown."""


@router.get(_PATH, operation_id="v1.endpoint.get-headers", response_model=EndpointHeadersOut)
async def get_headers(application: AppOf, services: ServicesOf, endpoint_id: EndpointRef) -> Response:
    """The headers, without the values of those that carry credentials."""
    endpoint = await services.endpoint.find(application.id, endpoint_id)
    headers, sensitive = shown(endpoint.headers)
    return JSONResponse({"headers": headers, "sensitive": sensitive})


@router.put(_PATH, operation_id="v1.endpoint.set-headers", status_code=204, dependencies=[_MANAGE])
async def set_headers(
    application: AppOf, services: ServicesOf, endpoint_id: EndpointRef, body: EndpointHeadersIn
) -> Response:
    """Replace all headers."""
    await services.endpoint.set_headers(application.id, endpoint_id, body.headers)
    return Response(status_code=204)


@router.patch(_PATH, operation_id="v1.endpoint.patch-headers", status_code=204, dependencies=[_MANAGE])
async def patch_headers(
    application: AppOf, services: ServicesOf, endpoint_id: EndpointRef, body: EndpointHeadersPatchIn
) -> Response:
    """Set some headers and remove others."""
    await services.endpoint.patch_headers(application.id, endpoint_id, body.headers, body.delete_headers)
    return Response(status_code=204)
