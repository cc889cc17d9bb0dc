"""`/app/{app_id}/endpoint`: endpoints and their statistics. Secrets and headers are in `endpoint_secret`."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, ClassVar, Self
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field, model_validator
from starlette.responses import JSONResponse, Response

from angarium.api.auth import AppOf, EndpointRef, ServicesOf, requires
from angarium.api.body import Wire
from angarium.api.field import (
    OLD,
    Channels,
    Description,
    EndpointUid,
    Flag,
    Metadata,
    Patterns,
    Url,
    as_tuple,
    wire_time,
)
from angarium.api.listing import ListOrder, Paging, page, paged
from angarium.api.native import endpoint_secret
from angarium.api.native.application import ThrottledWire
from angarium.api.query import QueryMoment
from angarium.api.route import WireRoute
from angarium.core import ids
from angarium.core.claims import Capability
from angarium.core.errors import Invalid
from angarium.core.nouns import Endpoint
from angarium.service.endpoint_draft import EndpointDraft

router = APIRouter(route_class=WireRoute, tags=["Endpoint"])
MANAGE = requires(Capability.MANAGE_ENDPOINT)

Version = Annotated[int, Field(ge=1, le=65535, strict=True)]


class _Filtered(ThrottledWire):
    """The filters of an endpoint."""

    event_types: Patterns | None = None
    """Names and wildcards (`order.*`, `*`); null selects every type."""
    filter_types: Patterns | None = Field(None, json_schema_extra=OLD)
    """The older name of `eventTypes`. If both are given, they must be equal."""
    channels: Channels | None = None
    """Only messages with one of these channels; null selects every message."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        both = self.given("event_types") and self.given("filter_types")
        if both and self.event_types != self.filter_types:
            raise Invalid.field("filterTypes", "filterTypes differs from eventTypes. Give only one of them.")
        return self

    @property
    def types(self) -> tuple[str, ...] | None:
        return as_tuple(self.event_types if self.given("event_types") else self.filter_types)

    @property
    def types_given(self) -> bool:
        return self.given("event_types") or self.given("filter_types")


class EndpointUpsertIn(_Filtered):
    url: Url
    """The URL that messages are sent to, `https://…`."""
    description: Description = ""
    uid: EndpointUid | None = None
    """Your own id. It can be used in place of `id`."""
    metadata: Metadata = Field(default_factory=dict)
    disabled: Flag = False
    fifo: Flag = False
    """Deliver one message at a time, strictly in order of acceptance."""
    version: Version = 1
    headers: dict[str, str] | None = None
    """Sent with every request."""

    def draft(self) -> EndpointDraft:
        return EndpointDraft(
            url=self.url,
            description=self.description,
            uid=self.uid,
            version=self.version,
            rate_limit=self.throttle,
            event_types=self.types,
            channels=as_tuple(self.channels),
            metadata=self.metadata,
            disabled=self.disabled,
            fifo=self.fifo,
        )


class EndpointIn(EndpointUpsertIn):
    secret: str | None = None
    """`whsec_` and base64 of 24 to 75 bytes, or `whsk_` and base64 of an Ed25519 key. Default: generated."""


class EndpointPatch(_Filtered):
    null_clears: ClassVar[bool] = True
    url: Url = ""
    description: Description = ""
    uid: EndpointUid | None = None
    metadata: Metadata | None = None
    disabled: Flag = False
    fifo: Flag = False
    version: Version = 1

    def apply(self, draft: EndpointDraft) -> EndpointDraft:
        """Change the given fields; null clears a field."""
        plain = ("url", "description", "uid", "disabled", "fifo", "version")
        changes: dict[str, Any] = {name: getattr(self, name) for name in plain if self.given(name)}
        if self.given("metadata"):
            changes["metadata"] = self.metadata or {}
        if self.given("channels"):
            changes["channels"] = as_tuple(self.channels)
        if self.types_given:
            changes["event_types"] = self.types
        if self.throttle_given:
            changes["rate_limit"] = self.throttle
        return replace(draft, **changes)


class EndpointOut(Wire):
    id: str
    uid: str | None
    url: str
    description: str
    version: int
    rate_limit: int | None
    throttle_rate: int | None
    event_types: list[str] | None
    filter_types: list[str] | None
    channels: list[str] | None
    metadata: dict[str, str]
    disabled: bool
    fifo: bool
    created_at: datetime
    updated_at: datetime


class EndpointStatsOut(Wire):
    success: int
    pending: int
    sending: int
    fail: int
    canceled: int


class ListOfEndpoints(Wire):
    data: list[EndpointOut]
    iterator: str | None
    prev_iterator: str | None = None
    done: bool


def wire(endpoint: Endpoint) -> dict[str, Any]:
    """The endpoint as JSON, without its secrets and headers."""
    types = None if endpoint.event_types is None else list(endpoint.event_types)
    return {
        "id": public_id(endpoint),
        "uid": endpoint.uid,
        "url": endpoint.url,
        "description": endpoint.description,
        "version": endpoint.version,
        "rateLimit": endpoint.rate_limit,
        "throttleRate": endpoint.rate_limit,
        "eventTypes": types,
        "filterTypes": types,
        "channels": None if endpoint.channels is None else list(endpoint.channels),
        "metadata": endpoint.metadata,
        "disabled": endpoint.disabled_at is not None,
        "fifo": endpoint.fifo,
        "createdAt": wire_time(endpoint.created_at),
        "updatedAt": wire_time(endpoint.updated_at),
    }


def public_id(endpoint: Endpoint) -> str:
    return ids.text(ids.ENDPOINT, endpoint.id)


@router.get("/app/{app_id}/endpoint", operation_id="v1.endpoint.list", response_model=ListOfEndpoints)
async def list_endpoints(
    application: AppOf,
    services: ServicesOf,
    paging: Annotated[Paging[UUID], paged(ids.ENDPOINT)],
    order: ListOrder = ListOrder.DESCENDING,
) -> Response:
    """The application's endpoints, by default newest first."""
    ascending = paging.ascending(order is ListOrder.ASCENDING)
    rows = await services.endpoint.page(application.id, paging.cursor, ascending=ascending, limit=paging.rows)
    return JSONResponse(page(rows, paging, public_id, wire))


@router.post(
    "/app/{app_id}/endpoint",
    operation_id="v1.endpoint.create",
    status_code=201,
    response_model=EndpointOut,
    dependencies=[MANAGE],
)
async def create_endpoint(application: AppOf, services: ServicesOf, body: EndpointIn) -> Response:
    """Create an endpoint."""
    endpoint = await services.endpoint.create(
        application, body.draft(), secret=body.secret, headers=body.headers
    )
    return JSONResponse(wire(endpoint), 201)


@router.get(
    "/app/{app_id}/endpoint/{endpoint_id}", operation_id="v1.endpoint.get", response_model=EndpointOut
)
async def get_endpoint(application: AppOf, services: ServicesOf, endpoint_id: EndpointRef) -> Response:
    """One endpoint."""
    return JSONResponse(wire(await services.endpoint.find(application.id, endpoint_id)))


@router.put(
    "/app/{app_id}/endpoint/{endpoint_id}",
    operation_id="v1.endpoint.upsert",
    response_model=EndpointOut,
    responses={201: {"model": EndpointOut, "description": "Created"}},
    dependencies=[MANAGE],
)
async def upsert_endpoint(
    application: AppOf, services: ServicesOf, endpoint_id: EndpointRef, body: EndpointUpsertIn
) -> Response:
    """Replace an endpoint (its secret stays), or create one with the uid of the body (not of the path)."""
    endpoint, made = await services.endpoint.upsert(
        application, endpoint_id, body.draft(), headers=body.headers
    )
    return JSONResponse(wire(endpoint), 201 if made else 200)


@router.patch(
    "/app/{app_id}/endpoint/{endpoint_id}",
    operation_id="v1.endpoint.patch",
    response_model=EndpointOut,
    dependencies=[MANAGE],
)
async def patch_endpoint(
    application: AppOf, services: ServicesOf, endpoint_id: EndpointRef, body: EndpointPatch
) -> Response:
    """Update only the given fields."""
    return JSONResponse(wire(await services.endpoint.update(application, endpoint_id, body.apply)))


@router.delete(
    "/app/{app_id}/endpoint/{endpoint_id}",
    operation_id="v1.endpoint.delete",
    status_code=204,
    dependencies=[MANAGE],
)
async def delete_endpoint(application: AppOf, services: ServicesOf, endpoint_id: EndpointRef) -> Response:
    """Delete an endpoint. Its pending deliveries are canceled. Its uid can be used again."""
    await services.endpoint.delete(application.id, endpoint_id)
    return Response(status_code=204)


@router.get(
    "/app/{app_id}/endpoint/{endpoint_id}/stats",
    operation_id="v1.endpoint.get-stats",
    response_model=EndpointStatsOut,
)
async def get_stats(
    application: AppOf,
    services: ServicesOf,
    endpoint_id: EndpointRef,
    since: Annotated[QueryMoment | None, Query(description="Default: 28 days before `until`.")] = None,
    until: Annotated[QueryMoment | None, Query(description="Default: now.")] = None,
) -> Response:
    """Counts of successful and failed attempts and of pending and canceled deliveries, over up to 28 days."""
    stats = await services.endpoint.stats(application.id, endpoint_id, since, until)
    return JSONResponse(
        {
            "success": stats.success,
            "pending": stats.pending,
            "sending": stats.sending,
            "fail": stats.fail,
            "canceled": stats.canceled,
        }
    )


router.include_router(endpoint_secret.router)
