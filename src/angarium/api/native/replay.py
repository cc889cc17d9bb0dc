"""Sends on request: resend, recover, replay-missing, and examples. Lists background tasks."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Path, Query
from pydantic import Field
from starlette.responses import JSONResponse, Response

from angarium.api.auth import AppOf, EndpointRef, OrgAppOf, OrgCaller, ServicesOf, requires
from angarium.api.body import Wire
from angarium.api.field import EventTypeName, Moment, wire_time
from angarium.api.listing import ListOrder, Paging, json_response, page, paged
from angarium.api.native import message_model as model
from angarium.api.native.message import MessageRef, message_out
from angarium.api.query import QueryMoment
from angarium.api.route import WireRoute
from angarium.core import ids
from angarium.core.claims import Capability
from angarium.core.errors import BadRequest, Invalid, NotFound
from angarium.service.event_type import examples_of
from angarium.service.intake import Draft
from angarium.service.services import Services
from angarium.store.background_task import BackgroundTask, TaskStatus

router = APIRouter(route_class=WireRoute)

TaskRef = Annotated[str, Path(alias="task_id", description="Id of the background task.")]
_MAY_SEND = [requires(Capability.CREATE_ATTEMPTS)]


class WindowIn(Wire):
    """A time window. It ends now, or at `until` if that is earlier."""

    since: Moment
    """Start of the window, at most 14 days ago."""
    until: Moment | None = None


def task_out(task: BackgroundTask) -> dict[str, Any]:
    """A task as JSON. SDKs do not know the status canceled, so it is shown as failed."""
    status = TaskStatus.FAILED if task.status is TaskStatus.CANCELED else task.status
    return {
        "id": ids.text(ids.TASK, task.id),
        "status": status,
        "task": task.kind,
        "updatedAt": wire_time(task.updated_at),
        "data": task.data,
    }


@router.post(
    "/app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/resend",
    operation_id="v1.message-attempt.resend",
    status_code=202,
    dependencies=_MAY_SEND,
    tags=["Message Attempt"],
)
async def resend(
    services: ServicesOf, application: AppOf, msg_id: MessageRef, endpoint_id: EndpointRef
) -> Response:
    """Send a message to an endpoint again, whatever its status there, even if it had no delivery to it.

    Pending automatic retries keep their times.
    """
    await services.replay.resend(application.id, msg_id, endpoint_id)
    return json_response({}, 202)


@router.post(
    "/app/{app_id}/endpoint/{endpoint_id}/replay-missing",
    operation_id="v1.endpoint.replay-missing",
    status_code=202,
    response_model=model.TaskOut,
    dependencies=_MAY_SEND,
    tags=["Endpoint"],
)
async def replay_missing(
    services: ServicesOf, application: AppOf, endpoint_id: EndpointRef, body: WindowIn
) -> Response:
    """Send the messages of the window that match the endpoint now and have no delivery to it yet."""
    task = await services.replay.replay_missing(
        application.org_id, application.id, endpoint_id, body.since, body.until
    )
    return json_response(task_out(task), 202)


@router.get(
    "/background-task",
    operation_id="v1.background-task.list",
    response_model=model.ListPage[model.TaskOut],
    tags=["Background Task"],
)
async def list_tasks(
    services: ServicesOf,
    caller: OrgCaller,
    paging: Annotated[Paging[UUID], paged(ids.TASK)],
    order: ListOrder = ListOrder.DESCENDING,
    status: Literal["running", "finished", "failed"] | None = None,
    task: str | None = None,
) -> Response:
    """The background tasks of the organization, newest first."""
    ascending = paging.ascending(order is ListOrder.ASCENDING)
    tasks = await services.background_task.page(
        caller.org_id, paging.cursor, ascending=ascending, limit=paging.rows, kind=task, status=status
    )
    return json_response(page(tasks, paging, lambda one: ids.text(ids.TASK, one.id), task_out))


@router.get(
    "/background-task/{task_id}",
    operation_id="v1.background-task.get",
    response_model=model.TaskOut,
    tags=["Background Task"],
)
async def get_task(services: ServicesOf, caller: OrgCaller, task_id: TaskRef) -> Response:
    """One background task; `data.messagesSent` is the number of deliveries it has scheduled."""
    return json_response(task_out(await services.background_task.get(caller.org_id, task_id)))


PING = "svix.ping"  # the name that SDKs and portals send


class UndeliveredOut(Wire):
    messages: int
    """How many messages would be sent again; counted up to 1,000,000."""


class EventExampleIn(Wire):
    event_type: EventTypeName
    example_index: Annotated[int, Field(ge=0, le=10_000, strict=True)] = 0


@router.post(
    "/app/{app_id}/endpoint/{endpoint_id}/send-example",
    operation_id="v1.endpoint.send-example",
    tags=["Endpoint"],
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
    tags=["Endpoint"],
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
    tags=["Endpoint"],
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
