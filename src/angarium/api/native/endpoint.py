"""`/app/{app_id}/endpoint`: endpoints and their statistics. Secrets and headers are in `endpoint_secret`."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, ClassVar, Self
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field, model_validator

from angarium.api.answer import Out, Reply
from angarium.api.auth import AppOf, EndpointRef, ServicesOf, requires
from angarium.api.field import (
    NOW,
    RARE,
    Channels,
    CreatedAt,
    Description,
    EndpointId,
    EndpointUid,
    Flag,
    Metadata,
    OldPatterns,
    OldRate,
    Patterns,
    Rate,
    UpdatedAt,
    Url,
    as_tuple,
    says,
    wire_time,
)
from angarium.api.listing import ListOrder, Order, Page, Paging, page, paged
from angarium.api.native import endpoint_secret
from angarium.api.native.application import ThrottledWire
from angarium.api.query import QueryMoment
from angarium.api.route import API_PATH, WireRoute
from angarium.core import ids
from angarium.core.claims import Capability
from angarium.core.errors import Invalid
from angarium.core.nouns import Endpoint
from angarium.service.endpoint_field import EndpointDraft
from angarium.store.delivery import Destination

router = APIRouter(prefix=API_PATH, route_class=WireRoute, tags=["Endpoint"])
MANAGE = requires(Capability.MANAGE_ENDPOINT)

EndpointDescription = Annotated[
    Description, says("What the endpoint is for, as its owner describes it.", "Orders of the web shop")
]
Version = Annotated[
    int, Field(ge=1, le=65535, strict=True), says("Stored and returned as it is; it has no effect.", 1), RARE
]
Disabled = Annotated[
    Flag,
    says("A disabled endpoint gets no deliveries. Disabling cancels those that are pending.", False),
    RARE,
]
Fifo = Annotated[Flag, says("Deliver one message at a time, strictly in order of acceptance.", False), RARE]


class _Filtered(ThrottledWire):
    """The filters of an endpoint."""

    event_types: Patterns | None = None
    filter_types: OldPatterns | None = None
    channels: Channels | None = None

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
    """What replaces an endpoint."""

    url: Url
    description: EndpointDescription = ""
    uid: EndpointUid | None = None
    metadata: Metadata = Field(default_factory=dict)
    disabled: Disabled = False
    fifo: Fifo = False
    version: Version = 1
    headers: Annotated[
        dict[str, str] | None,
        says("Sent with every request. Null or missing: no change.", {"X-Shop": "1"}),
        RARE,
    ] = None

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
    """An endpoint to create."""

    secret: Annotated[
        str | None,
        says(
            "The signing secret: `whsec_` and base64 of 24 to 75 bytes, or `whsk_` and base64 of an Ed25519 "
            "key. Default: generated.",
            endpoint_secret.SECRET,
        ),
        RARE,
    ] = None


class EndpointPatch(_Filtered):
    """The fields of an endpoint that change. Null clears a field."""

    null_clears: ClassVar[bool] = True
    url: Url = ""
    description: EndpointDescription = ""
    uid: EndpointUid | None = None
    metadata: Metadata | None = None
    disabled: Disabled = False
    fifo: Fifo = False
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


class AnyEndpointOut(Out):
    """What lists of endpoints and of a message's destinations say of an endpoint."""

    id: EndpointId
    uid: EndpointUid | None
    url: Annotated[Url, says("The URL. The password of a login in it is shown as `***`.")]
    description: EndpointDescription
    version: Version
    rate_limit: OldRate | None
    throttle_rate: Rate | None
    event_types: Patterns | None
    filter_types: OldPatterns | None
    channels: Channels | None
    disabled: Disabled
    created_at: CreatedAt
    updated_at: UpdatedAt


class EndpointOut(AnyEndpointOut):
    """A URL at which an application receives messages."""

    metadata: Metadata
    fifo: Fifo


class EndpointStatsOut(Out):
    """Attempts and deliveries of an endpoint in a window of time."""

    success: Annotated[int, says("Attempts that succeeded.", 998)]
    pending: Annotated[int, says("Deliveries that were not attempted yet.", 1)]
    sending: Annotated[int, says("Deliveries that wait for a retry.", 1)]
    fail: Annotated[int, says("Attempts that failed.", 3)]
    canceled: Annotated[int, says("Deliveries that were canceled.", 0)]


def endpoint_out(endpoint: Endpoint) -> EndpointOut:
    """The endpoint as JSON, without its secrets and headers."""
    return EndpointOut(**endpoint_fields(endpoint), metadata=endpoint.metadata, fifo=endpoint.fifo)


def endpoint_fields(endpoint: Endpoint | Destination) -> dict[str, Any]:
    """The fields of an AnyEndpointOut."""
    types = None if endpoint.event_types is None else list(endpoint.event_types)
    return {
        "id": public_id(endpoint),
        "uid": endpoint.uid,
        "url": endpoint.url,
        "description": endpoint.description,
        "version": endpoint.version,
        "rate_limit": endpoint.rate_limit,
        "throttle_rate": endpoint.rate_limit,
        "event_types": types,
        "filter_types": types,
        "channels": None if endpoint.channels is None else list(endpoint.channels),
        "disabled": endpoint.disabled_at is not None,
        "created_at": wire_time(endpoint.created_at),
        "updated_at": wire_time(endpoint.updated_at),
    }


def public_id(endpoint: Endpoint | Destination) -> str:
    return ids.text(ids.ENDPOINT, endpoint.id)


@router.get("/app/{app_id}/endpoint", operation_id="v1.endpoint.list")
async def list_endpoints(
    application: AppOf,
    services: ServicesOf,
    paging: Annotated[Paging[UUID], paged(ids.ENDPOINT)],
    order: Order = ListOrder.DESCENDING,
) -> Page[EndpointOut]:
    """List endpoints.

    The endpoints of the application, by default newest first.
    """
    ascending = paging.ascending(order is ListOrder.ASCENDING)
    rows = await services.endpoint.page(application.id, paging.cursor, ascending=ascending, limit=paging.rows)
    return page(rows, paging, public_id, endpoint_out)


@router.post(
    "/app/{app_id}/endpoint", operation_id="v1.endpoint.create", status_code=201, dependencies=[MANAGE]
)
async def create_endpoint(application: AppOf, services: ServicesOf, body: EndpointIn) -> EndpointOut:
    """Create an endpoint.

    It receives messages that are accepted from now on. `replay-missing` sends it earlier ones. The response
    does not contain the secret; `get-secret` returns it.
    """
    endpoint = await services.endpoint.create(
        application, body.draft(), secret=body.secret, headers=body.headers
    )
    return endpoint_out(endpoint)


@router.get("/app/{app_id}/endpoint/{endpoint_id}", operation_id="v1.endpoint.get")
async def get_endpoint(application: AppOf, services: ServicesOf, endpoint_id: EndpointRef) -> EndpointOut:
    """Get an endpoint.

    Its secret and its headers have operations of their own.
    """
    return endpoint_out(await services.endpoint.find(application.id, endpoint_id))


@router.put(
    "/app/{app_id}/endpoint/{endpoint_id}",
    operation_id="v1.endpoint.upsert",
    responses={201: {"description": "There was no such endpoint, so it was created."}},
    dependencies=[MANAGE],
)
async def upsert_endpoint(
    application: AppOf, services: ServicesOf, endpoint_id: EndpointRef, body: EndpointUpsertIn
) -> Reply[EndpointOut]:
    """Replace or create an endpoint.

    Fields that are missing get their defaults; the secret stays. If the endpoint does not exist, it is
    created with the uid of the body, not of the path.
    """
    endpoint, made = await services.endpoint.upsert(
        application, endpoint_id, body.draft(), headers=body.headers
    )
    return Reply(endpoint_out(endpoint), 201 if made else 200)


@router.patch("/app/{app_id}/endpoint/{endpoint_id}", operation_id="v1.endpoint.patch", dependencies=[MANAGE])
async def patch_endpoint(
    application: AppOf, services: ServicesOf, endpoint_id: EndpointRef, body: EndpointPatch
) -> EndpointOut:
    """Update an endpoint.

    Only the given fields change. Null clears a field. `"disabled": false` enables an endpoint again.
    """
    return endpoint_out(await services.endpoint.update(application, endpoint_id, body.apply))


@router.delete(
    "/app/{app_id}/endpoint/{endpoint_id}",
    operation_id="v1.endpoint.delete",
    status_code=204,
    dependencies=[MANAGE],
)
async def delete_endpoint(application: AppOf, services: ServicesOf, endpoint_id: EndpointRef) -> None:
    """Delete an endpoint.

    Its pending deliveries are canceled. Its uid can be used again.
    """
    await services.endpoint.delete(application.id, endpoint_id)


@router.get("/app/{app_id}/endpoint/{endpoint_id}/stats", operation_id="v1.endpoint.get-stats")
async def get_stats(
    application: AppOf,
    services: ServicesOf,
    endpoint_id: EndpointRef,
    since: Annotated[
        QueryMoment | None,
        Query(description="Start of the window. Default: 28 days before `until`.", examples=[NOW]),
    ] = None,
    until: Annotated[
        QueryMoment | None, Query(description="End of the window. Default: now.", examples=[NOW])
    ] = None,
) -> EndpointStatsOut:
    """Get statistics.

    Counts successful and failed attempts, and pending and canceled deliveries, over up to 28 days.
    """
    stats = await services.endpoint.stats(application.id, endpoint_id, since, until)
    return EndpointStatsOut(
        success=stats.success,
        pending=stats.pending,
        sending=stats.sending,
        fail=stats.fail,
        canceled=stats.canceled,
    )
