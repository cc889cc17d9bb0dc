"""`…/endpoint/{endpoint_id}/headers`: custom headers of an endpoint's requests."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import JSONResponse, Response

from angarium.api.auth import AppOf, EndpointRef, ServicesOf, requires
from angarium.api.body import Wire, WireRoute
from angarium.core.claims import Capability
from angarium.service.endpoint_header import shown

router = APIRouter(route_class=WireRoute)
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
    await services.endpoint_header.set(application.id, endpoint_id, body.headers)
    return Response(status_code=204)


@router.patch(_PATH, operation_id="v1.endpoint.patch-headers", status_code=204, dependencies=[_MANAGE])
async def patch_headers(
    application: AppOf, services: ServicesOf, endpoint_id: EndpointRef, body: EndpointHeadersPatchIn
) -> Response:
    """Set some headers and remove others."""
    await services.endpoint_header.patch(application.id, endpoint_id, body.headers, body.delete_headers)
    return Response(status_code=204)
