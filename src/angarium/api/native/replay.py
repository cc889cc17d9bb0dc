"""Resend, replay-missing, and lists of background tasks. Recover is in `endpoint_work`."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Response

from angarium.api.auth import AppOf, EndpointRef, OrgCaller, ServicesOf, requires
from angarium.api.body import Wire, WireRoute
from angarium.api.field import Moment, wire_time
from angarium.api.listing import json_response
from angarium.api.native import message_model as model
from angarium.api.native.message import MessageRef
from angarium.api.paging import ListOrder, Paging, page, paged
from angarium.core import ids
from angarium.core.claims import Capability
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
