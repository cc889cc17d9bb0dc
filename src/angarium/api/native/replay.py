"""Sends on request: resend, recover, replay-missing, and examples. Lists background tasks."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Path, Query
from msgspec import UNSET, UnsetType
from pydantic import Field

from angarium.api.answer import Out
from angarium.api.auth import AppOf, EndpointRef, OrgAppOf, OrgCaller, ServicesOf, requires
from angarium.api.body import Wire
from angarium.api.field import NOW, RARE, TASK, EventTypeName, Moment, Time, says, wire_time
from angarium.api.listing import ListOrder, Order, Page, Paging, page, paged
from angarium.api.native.message import MessageOut, MessageRef, message_out
from angarium.api.query import QueryMoment
from angarium.api.route import API_PATH, WireRoute
from angarium.core import ids
from angarium.core.claims import Capability
from angarium.core.error_text import TASK_TEXTS
from angarium.core.errors import BadRequest, Invalid, NotFound
from angarium.service.event_type import examples_of
from angarium.service.intake import Draft
from angarium.service.services import Services
from angarium.store.background_task import BackgroundTask, TaskStatus

router = APIRouter(prefix=API_PATH, route_class=WireRoute)

PING = "svix.ping"  # the name that SDKs and portals send
TaskRef = Annotated[str, Path(alias="task_id", description="Id of the background task.", examples=[TASK])]
MAY_SEND = [requires(Capability.CREATE_ATTEMPTS)]
_ENDPOINT = "/app/{app_id}/endpoint/{endpoint_id}"
_BEGINS: Final[dict[str, Any]] = {"status_code": 202, "dependencies": MAY_SEND, "tags": ["Endpoint"]}
"""How the operations of an endpoint that begin a background task are declared."""

Task = Annotated[str, says("What the task does.", "endpoint.recover")]
State = Literal["running", "finished", "failed"]
TaskErrorCode = Literal["endpoint_deleted", "internal"]


class WindowIn(Wire):
    """A window of time."""

    since: Annotated[Moment, says("Start of the window, at most 14 days ago.", NOW)]
    until: Annotated[
        Moment | None, says("End of the window. It ends now if this is missing or later.", NOW)
    ] = None


class UndeliveredOut(Out):
    """What a recover would send."""

    messages: Annotated[int, says("How many messages would be sent again; counted up to 1,000,000.", 42)]


class EventExampleIn(Wire):
    """Which example to send."""

    event_type: EventTypeName
    example_index: Annotated[
        int,
        Field(ge=0, le=10_000, strict=True),
        says("Which of the `examples` in version 1 of the event type's schema.", 0),
    ] = 0


class ResentOut(Out):
    """Empty, as at Svix."""


class TaskProgressOut(Out):
    """How far a background task is, and why it failed."""

    messages_sent: Annotated[
        int | UnsetType, says("How many deliveries it has scheduled; not of an erasure.", 42)
    ] = UNSET
    rows: Annotated[
        dict[str, int] | UnsetType,
        says("How many rows an erasure has deleted, by table.", {"message": 4, "attempt": 12}),
        RARE,
    ] = UNSET
    expected: Annotated[
        int | UnsetType, says("How many it will schedule in all, if they were counted before.", 120)
    ] = UNSET
    error: Annotated[str | UnsetType, says("Why it failed.", TASK_TEXTS["endpoint_deleted"]), RARE] = UNSET
    error_code: Annotated[
        TaskErrorCode | UnsetType, says("Why it failed, as a code.", "endpoint_deleted"), RARE
    ] = UNSET


class TaskOut(Out):
    """Work that continues after its request."""

    id: Annotated[str, says("Id of the task.", TASK)]
    status: Annotated[State, says("A canceled task is shown as failed.", "running")]
    task: Task
    updated_at: Annotated[Time, says("When it last made progress.", NOW)]
    data: Annotated[TaskProgressOut, says("How far it is.")]


def task_out(task: BackgroundTask) -> TaskOut:
    """A task as JSON. SDKs do not know the status canceled, so it is shown as failed."""
    status = TaskStatus.FAILED if task.status is TaskStatus.CANCELED else task.status
    return TaskOut(
        id=ids.text(ids.TASK, task.id),
        status=status.value,  # type: ignore[arg-type]
        task=task.kind,
        updated_at=wire_time(task.updated_at),
        data=TaskProgressOut(
            messages_sent=task.data.get("messagesSent", UNSET),
            rows=task.data.get("rows", UNSET),
            expected=task.data.get("expected", UNSET),
            error=UNSET if task.error is None else TASK_TEXTS[task.error],
            error_code=UNSET if task.error is None else task.error.value,
        ),
    )


@router.post(
    "/app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/resend",
    operation_id="v1.message-attempt.resend",
    status_code=202,
    dependencies=MAY_SEND,
    tags=["Message Attempt"],
)
async def resend(
    services: ServicesOf, application: AppOf, msg_id: MessageRef, endpoint_id: EndpointRef
) -> ResentOut:
    """Resend a message to an endpoint.

    Sends it again, whatever its status there, even if it had no delivery to the endpoint. Pending automatic
    retries keep their times.
    """
    await services.replay.resend(application.id, msg_id, endpoint_id)
    return ResentOut()


@router.post(
    f"{_ENDPOINT}/send-example",
    operation_id="v1.endpoint.send-example",
    status_code=202,
    tags=["Endpoint"],
)
async def send_example(
    application: OrgAppOf, services: ServicesOf, endpoint_id: EndpointRef, body: EventExampleIn
) -> MessageOut:
    """Send an example.

    Sends the example of an event type's schema to this endpoint alone. It is attempted once. The event type
    `svix.ping` always has an example.
    """
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
    return message_out(accepted.message, with_content=True)


async def _example(services: Services, org_id: str, body: EventExampleIn) -> Any:
    if body.event_type == PING:
        return {"success": True}
    try:
        event_type = await services.event_type.find(org_id, body.event_type)
    except NotFound:
        raise NotFound(f"The event type {body.event_type} does not exist.") from None
    examples = examples_of(event_type)
    if body.example_index >= len(examples) or not isinstance(examples[body.example_index], dict):
        raise BadRequest(code="invalid_scheme", name=body.event_type)
    return examples[body.example_index]


@router.get(f"{_ENDPOINT}/recover", operation_id="v1.endpoint.recover-count", tags=["Endpoint"])
async def count_undelivered(
    application: AppOf,
    services: ServicesOf,
    endpoint_id: EndpointRef,
    since: Annotated[
        QueryMoment, Query(description="Start of the window, at most 14 days ago.", examples=[NOW])
    ],
    until: Annotated[
        QueryMoment | None, Query(description="End of the window. Default: now.", examples=[NOW])
    ] = None,
) -> UndeliveredOut:
    """Count what a recover would send.

    How many undelivered messages the window has. Nothing is sent.
    """
    try:
        count = await services.replay.count_undelivered(application.id, endpoint_id, since, until)
    except Invalid as error:
        raise error.placed("query") from None
    return UndeliveredOut(messages=count)


@router.post(f"{_ENDPOINT}/recover", operation_id="v1.endpoint.recover", **_BEGINS)
async def recover(
    application: AppOf, services: ServicesOf, endpoint_id: EndpointRef, body: WindowIn
) -> TaskOut:
    """Recover an endpoint.

    Sends all undelivered messages of the window again, in the background.
    """
    return task_out(
        await services.replay.recover(application.org_id, application.id, endpoint_id, body.since, body.until)
    )


@router.post(f"{_ENDPOINT}/replay-missing", operation_id="v1.endpoint.replay-missing", **_BEGINS)
async def replay_missing(
    application: AppOf, services: ServicesOf, endpoint_id: EndpointRef, body: WindowIn
) -> TaskOut:
    """Replay missing messages.

    Sends the messages of the window that match the endpoint now and have no delivery to it yet, in the
    background.
    """
    return task_out(
        await services.replay.replay_missing(
            application.org_id, application.id, endpoint_id, body.since, body.until
        )
    )


@router.get("/background-task", operation_id="v1.background-task.list", tags=["Background Task"])
async def list_tasks(
    services: ServicesOf,
    caller: OrgCaller,
    paging: Annotated[Paging[UUID], paged(ids.TASK)],
    order: Order = ListOrder.DESCENDING,
    status: Annotated[
        State | None, Query(description="Only tasks with this status.", examples=["running"])
    ] = None,
    task: Annotated[
        str | None, Query(description="Only tasks that do this.", examples=["endpoint.recover"])
    ] = None,
) -> Page[TaskOut]:
    """List background tasks.

    The background tasks of the organization, by default newest first.
    """
    ascending = paging.ascending(order is ListOrder.ASCENDING)
    tasks = await services.background_task.page(
        caller.org_id, paging.cursor, ascending=ascending, limit=paging.rows, kind=task, status=status
    )
    return page(tasks, paging, lambda one: ids.text(ids.TASK, one.id), task_out)


@router.get("/background-task/{task_id}", operation_id="v1.background-task.get", tags=["Background Task"])
async def get_task(services: ServicesOf, caller: OrgCaller, task_id: TaskRef) -> TaskOut:
    """Get a background task.

    `data` has the number of deliveries that it has scheduled and, if it failed, the reason.
    """
    return task_out(await services.background_task.get(caller.org_id, task_id))
