"""Routes of one endpoint: statistics, sending an example, recovery."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import JSONResponse, Response

from angarium.api.auth import AppOf, EndpointRef, OrgAppOf, ServicesOf, requires
from angarium.api.body import Wire, WireRoute
from angarium.api.field import EventTypeName
from angarium.api.listing import json_response
from angarium.api.native import message_model as model
from angarium.api.native.message_out import message_out
from angarium.api.native.replay import WindowIn, task_out
from angarium.api.query import QueryMoment
from angarium.core import ids
from angarium.core.claims import Capability
from angarium.core.errors import BadRequest, Invalid, NotFound
from angarium.service.example import examples_of
from angarium.service.intake import Draft
from angarium.service.services import Services

router = APIRouter(route_class=WireRoute)

PING = "svix.ping"  # the name that SDKs and portals send


class EndpointStatsOut(Wire):
    success: int
    pending: int
    sending: int
    fail: int
    canceled: int


class UndeliveredOut(Wire):
    messages: int
    """How many messages would be sent again; counted up to 1,000,000."""


class EventExampleIn(Wire):
    event_type: EventTypeName
    example_index: Annotated[int, Field(ge=0, le=10_000, strict=True)] = 0


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


@router.post(
    "/app/{app_id}/endpoint/{endpoint_id}/send-example",
    operation_id="v1.endpoint.send-example",
    status_code=202,
)
async def send_example(
    application: OrgAppOf, services: ServicesOf, endpoint_id: EndpointRef, body: EventExampleIn
) -> Response:
    """Send the example of an event type's schema to this endpoint alone."""
    endpoint = await services.endpoint.find(application.id, endpoint_id)
    payload = await _example(services, application.org_id, body)
    draft = Draft(
        org_id=application.org_id,
        app=ids.text(ids.APPLICATION, application.id),
        event_type=body.event_type,
        payload=msgspec.json.encode(payload),
        endpoint_id=endpoint.id,
    )
    accepted = await services.intake.accept(draft)
    return json_response(message_out(accepted.message, with_content=True), 202)


async def _example(services: Services, org_id: str, body: EventExampleIn) -> Any:
    if body.event_type == PING:
        return {"success": True}
    try:
        event_type = await services.event_type.find(org_id, body.event_type)
    except NotFound:
        raise NotFound(f"The event type {body.event_type} does not exist.") from None
    examples = examples_of(event_type)
    if body.example_index >= len(examples) or not isinstance(examples[body.example_index], dict):
        raise BadRequest(
            f"Version 1 of the schema of {body.event_type} has no such example.", code="invalid_scheme"
        )
    return examples[body.example_index]


@router.get(
    "/app/{app_id}/endpoint/{endpoint_id}/recover",
    operation_id="v1.endpoint.recover-count",
    response_model=UndeliveredOut,
)
async def count_undelivered(
    application: AppOf,
    services: ServicesOf,
    endpoint_id: EndpointRef,
    since: Annotated[QueryMoment, Query(description="Start of the window, at most 14 days ago.")],
    until: Annotated[QueryMoment | None, Query(description="Default: now.")] = None,
) -> Response:
    """Dry run of recover: how many messages it would send again."""
    try:
        count = await services.replay.count_undelivered(application.id, endpoint_id, since, until)
    except Invalid as error:
        raise error.placed("query") from None
    return JSONResponse({"messages": count})


@router.post(
    "/app/{app_id}/endpoint/{endpoint_id}/recover",
    operation_id="v1.endpoint.recover",
    status_code=202,
    response_model=model.TaskOut,
    dependencies=[requires(Capability.CREATE_ATTEMPTS)],
)
async def recover(
    application: AppOf, services: ServicesOf, endpoint_id: EndpointRef, body: WindowIn
) -> Response:
    """Send all undelivered messages of the window again, in the background."""
    task = await services.replay.recover(
        application.org_id, application.id, endpoint_id, body.since, body.until
    )
    return json_response(task_out(task), 202)
