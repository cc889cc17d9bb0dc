"""Sending again: resend and replay-missing, and a look at background tasks. Recover is `endpoint_work`."""

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
    """A stretch of time; it ends now unless `until` says earlier."""

    since: Moment
    """Where it begins: at most 14 days ago."""
    until: Moment | None = None


def task_out(task: BackgroundTask) -> dict[str, Any]:
    """Clients' SDKs know no canceled tasks: to them one has failed."""
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
    """Send a message to an endpoint once more, whatever became of it and whether or not it was owed before.

    Automatic retries that still wait go on at the time they had.
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
    """Send the messages of the window that the endpoint wants today and never was owed."""
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
    """One background task; `data.messagesSent` is how many deliveries it owes by now."""
    return json_response(task_out(await services.background_task.get(caller.org_id, task_id)))
