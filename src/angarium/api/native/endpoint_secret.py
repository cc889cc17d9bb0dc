"""`…/endpoint/{endpoint_id}/secret`: what an endpoint's requests are signed with."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import JSONResponse, Response

from angarium.api.auth import AnyCaller, AppOf, EndpointRef, ServicesOf, requires
from angarium.api.body import Wire, WireRoute
from angarium.core.claims import Capability
from angarium.core.errors import NotAllowed
from angarium.core.nouns import SigningKey
from angarium.core.signature import public_form
from angarium.service.endpoint_secret import DEFAULT_GRACE, MAX_GRACE, in_force

router = APIRouter(route_class=WireRoute)


class EndpointSecretOut(Wire):
    key: str
    """A symmetric secret, or the public half of an Ed25519 key."""


class EndpointSecretRotateIn(Wire):
    key: str | None = None
    """The new secret; made when missing."""
    grace_period_seconds: Annotated[int, Field(ge=0, le=MAX_GRACE, strict=True)] | None = None
    """How long the old secret signs too; a day when missing."""


@router.get(
    "/app/{app_id}/endpoint/{endpoint_id}/secret",
    operation_id="v1.endpoint.get-secret",
    response_model=EndpointSecretOut,
    dependencies=[requires(Capability.VIEW_SECRET)],
)
async def get_secret(
    application: AppOf, services: ServicesOf, caller: AnyCaller, endpoint_id: EndpointRef
) -> Response:
    """What a receiver verifies with; of two secrets, the one in force. The audit log says who asked.

    Where the product shows a secret once only, its customers do not see it again here either.
    """
    product = await services.product.of(application.org_id)
    if caller.app_id is not None and product.profile.secrets.display == "once":
        raise NotAllowed("A secret is shown once only, when it is made. Rotate it to get another.")
    endpoint = await services.endpoint_secret.reveal(application.id, endpoint_id)
    return _shown(in_force(endpoint.keys, services.clock.now()))


@router.post(
    "/app/{app_id}/endpoint/{endpoint_id}/secret/rotate",
    operation_id="v1.endpoint.rotate-secret",
    response_model=EndpointSecretOut,
    responses={204: {"description": "Rotated; the token may not see secrets"}},
    dependencies=[requires(Capability.MANAGE_SECRET)],
)
async def rotate_secret(
    application: AppOf,
    services: ServicesOf,
    caller: AnyCaller,
    endpoint_id: EndpointRef,
    body: EndpointSecretRotateIn,
) -> Response:
    """Sign with a new secret, and for a while with the old one too.

    Svix's documents say 204, but its Python SDK 2.9.1 reads the new secret from the answer and fails
    without; older ones take any 2xx and ignore the body.
    """
    grace = DEFAULT_GRACE if body.grace_period_seconds is None else body.grace_period_seconds
    product = await services.product.of(application.org_id)
    new = await services.endpoint_secret.rotate(
        application.id,
        endpoint_id,
        body.key,
        grace,
        two_phase=product.profile.secrets.rotation == "two_phase",
    )
    if Capability.VIEW_SECRET not in caller.capabilities:
        return Response(status_code=204)
    return _shown(new)


def _shown(key: SigningKey) -> Response:
    return JSONResponse({"key": public_form(key.secret)}, headers={"cache-control": "no-store"})
