"""`…/endpoint/{endpoint_id}/secret`, `/headers` and `/compare`: what requests are signed and sent with."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter
from msgspec import UNSET, UnsetType
from pydantic import Field

from angarium.api.answer import NOT_STORED, Out, Reply
from angarium.api.auth import AnyCaller, AppOf, EndpointRef, OrgAppOf, ServicesOf, requires
from angarium.api.body import Wire
from angarium.api.field import Url, says
from angarium.api.route import API_PATH, WireRoute
from angarium.core.claims import Capability
from angarium.core.errors import NotAllowed
from angarium.core.signature import public_form
from angarium.service.endpoint_field import DEFAULT_GRACE, MAX_GRACE, in_force, pending, shown

router = APIRouter(prefix=API_PATH, route_class=WireRoute, tags=["Endpoint"])

SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 (an example)
NEW_SECRET: Final = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"  # noqa: S105
_HEADERS: Final = "/app/{app_id}/endpoint/{endpoint_id}/headers"
_MANAGE: Final = requires(Capability.MANAGE_ENDPOINT)


class EndpointSecretOut(Out):
    """The signing secret of an endpoint."""

    key: Annotated[str, says("A symmetric secret, or the public half of an Ed25519 key.", SECRET)]
    next_key: Annotated[
        str | UnsetType,
        says("The pending secret of a two-phase rotation, until it replaces `key`.", NEW_SECRET),
    ] = UNSET


class EndpointSecretRotateIn(Wire):
    """How a secret is replaced."""

    key: Annotated[str | None, says("The new secret. Default: generated.", NEW_SECRET)] = None
    grace_period_seconds: Annotated[
        Annotated[int, Field(ge=0, le=MAX_GRACE, strict=True)] | None,
        says("How long the old secret also signs. Default: one day.", 86400),
    ] = None


class EndpointCompareIn(Wire):
    """What an endpoint is compared with."""

    url: Url | None = None
    secret: Annotated[str | None, says("A signing secret.", SECRET)] = None
    headers: Annotated[dict[str, str], says("Values of headers by name.", {"X-Shop": "1"})] = Field(
        default_factory=dict
    )


class EndpointCompareOut(Out):
    """Which values differ."""

    url: Annotated[bool, says("Whether the URL was given and differs.", False)]
    secret: Annotated[
        bool, says("Whether the secret was given, and is neither the current nor the pending one.", False)
    ]
    headers: Annotated[
        list[str], says("Names of the given headers whose values differ or are missing.", ["X-Shop"])
    ]


class EndpointHeadersIn(Wire):
    """Headers that replace all others."""

    headers: Annotated[dict[str, str], says("Values by name.", {"X-Shop": "1"})]


class EndpointHeadersPatchIn(Wire):
    """Headers that change."""

    headers: Annotated[
        dict[str, str | None], says("Values by name. Null removes a header.", {"X-Shop": "2"})
    ] = Field(default_factory=dict)
    delete_headers: Annotated[
        list[str], Field(max_length=1000), says("Names of headers to remove.", ["X-Old"])
    ] = Field(default_factory=list)


class EndpointHeadersOut(Out):
    """The custom headers of an endpoint's requests."""

    headers: Annotated[dict[str, str], says("Values by name.", {"X-Shop": "1"})]
    sensitive: Annotated[list[str], says("Names of headers whose values are not shown.", ["Authorization"])]


@router.get(
    "/app/{app_id}/endpoint/{endpoint_id}/secret",
    operation_id="v1.endpoint.get-secret",
    dependencies=[requires(Capability.VIEW_SECRET)],
)
async def get_secret(
    application: AppOf, services: ServicesOf, caller: AnyCaller, endpoint_id: EndpointRef
) -> Reply[EndpointSecretOut]:
    """Get the signing secret.

    The current secret, with which a receiver verifies signatures. The audit log records each request. If the
    product shows a secret only once, application tokens get 403.
    """
    product = await services.product.of(application.org_id)
    if caller.app_id is not None and product.profile.secrets.display == "once":
        raise NotAllowed("A secret is shown only once, when it is created. Rotate it to get a new one.")
    endpoint = await services.endpoint.reveal_secret(application.id, endpoint_id)
    now = services.clock.now()
    coming = pending(endpoint.keys, now)
    secret = EndpointSecretOut(
        key=public_form(in_force(endpoint.keys, now).secret),
        next_key=UNSET if coming is None else public_form(coming.secret),
    )
    return Reply(secret, headers=NOT_STORED)


@router.post(
    "/app/{app_id}/endpoint/{endpoint_id}/secret/rotate",
    operation_id="v1.endpoint.rotate-secret",
    status_code=204,
    dependencies=[requires(Capability.MANAGE_SECRET)],
)
async def rotate_secret(
    application: AppOf, services: ServicesOf, endpoint_id: EndpointRef, body: EndpointSecretRotateIn
) -> None:
    """Rotate the signing secret.

    The old secret also signs for a grace period. `get-secret` returns the new one.
    """
    grace = DEFAULT_GRACE if body.grace_period_seconds is None else body.grace_period_seconds
    product = await services.product.of(application.org_id)
    await services.endpoint.rotate_secret(
        application.id,
        endpoint_id,
        body.key,
        grace,
        two_phase=product.profile.secrets.rotation == "two_phase",
    )


@router.post("/app/{app_id}/endpoint/{endpoint_id}/compare", operation_id="v1.endpoint.compare")
async def compare(
    application: OrgAppOf, services: ServicesOf, endpoint_id: EndpointRef, body: EndpointCompareIn
) -> EndpointCompareOut:
    """Compare URL, secret and headers.

    Says which of the given values differ from the endpoint's, without showing these. Nothing changes. A URL
    is compared as it would be stored.
    """
    found = await services.endpoint.compare(
        application, endpoint_id, url=body.url, secret=body.secret, headers=body.headers
    )
    return EndpointCompareOut(url=found.url, secret=found.secret, headers=list(found.headers))


@router.get(_HEADERS, operation_id="v1.endpoint.get-headers")
async def get_headers(
    application: AppOf, services: ServicesOf, endpoint_id: EndpointRef
) -> EndpointHeadersOut:
    """Get custom headers.

    Headers that carry credentials are listed by name, without their values.
    """
    endpoint = await services.endpoint.find(application.id, endpoint_id)
    headers, sensitive = shown(endpoint.headers)
    return EndpointHeadersOut(headers=headers, sensitive=sensitive)


@router.put(_HEADERS, operation_id="v1.endpoint.set-headers", status_code=204, dependencies=[_MANAGE])
async def set_headers(
    application: AppOf, services: ServicesOf, endpoint_id: EndpointRef, body: EndpointHeadersIn
) -> None:
    """Replace custom headers.

    Headers that are not given are removed.
    """
    await services.endpoint.set_headers(application.id, endpoint_id, body.headers)


@router.patch(_HEADERS, operation_id="v1.endpoint.patch-headers", status_code=204, dependencies=[_MANAGE])
async def patch_headers(
    application: AppOf, services: ServicesOf, endpoint_id: EndpointRef, body: EndpointHeadersPatchIn
) -> None:
    """Update custom headers.

    Sets some headers and removes others. Headers that are not given stay.
    """
    await services.endpoint.patch_headers(application.id, endpoint_id, body.headers, body.delete_headers)
