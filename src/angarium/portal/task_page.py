"""Page of a background task: its filter, its progress and a stop button."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from starlette.responses import Response
from starlette.routing import Route

from angarium.core import ids
from angarium.core.claims import Capability
from angarium.core.log_filter import LogFilter
from angarium.portal import message_filter
from angarium.portal.form import Form
from angarium.portal.route import action, page
from angarium.portal.visit import Visit
from angarium.portal.words import endpoint_name
from angarium.store.background_task import BackgroundTask, TaskStatus

_DOING: Final = {
    "endpoint.recover": "Recovering undelivered messages",
    "endpoint.replay": "Sending missed messages",
    "delivery.resend": "Sending messages again",
}
_FAULTS: Final = ("The endpoint was deleted.", "The endpoint is disabled.")
"""Errors of a task that customers may see; all others are faults on our side."""
_STATUS: Final = {
    "running": ("wait", "Running"),
    "finished": ("good", "Done"),
    "failed": ("bad", "Failed"),
    "canceled": ("none", "Stopped"),
}


def path_of(visit: Visit, task_id: UUID, **query: str) -> str:
    """The path of the page of a task."""
    return visit.path("tasks", ids.text(ids.TASK, task_id), **query)


async def running(visit: Visit) -> list[tuple[str, str, BackgroundTask]]:
    """The running tasks, each with its path and its title."""
    tasks = await visit.services.background_task.of_application(visit.app_id)
    return [
        (path_of(visit, task.id), doing(task), task) for task in tasks if task.status is TaskStatus.RUNNING
    ]


def doing(task: BackgroundTask) -> str:
    """The title of a task."""
    return _DOING.get(task.kind, "Working")


async def show(visit: Visit) -> Response:
    """The page; for htmx only the progress."""
    task = await visit.services.background_task.one(visit.app_id, visit.request.path_params["task"])
    kind, words = _STATUS[task.status.value]
    values: dict[str, Any] = {
        "task": task,
        "kind": kind,
        "words": words,
        "error": _error(task),
        "path": path_of(visit, task.id),
        "results": _results(visit, task),
    }
    if "hx-request" in visit.request.headers:
        return visit.render("task_progress.html", **values)
    return visit.render(
        "task.html", section="messages", heading=doing(task), about=await _about(visit, task), **values
    )


async def cancel(visit: Visit, _: Form) -> Response:
    """Stops the task. Messages that were sent stay sent."""
    task = await visit.services.background_task.cancel(visit.app_id, visit.request.path_params["task"])
    said = {"said": "stopped"} if task.status is TaskStatus.CANCELED else {}
    return visit.go(path_of(visit, task.id, **said))


def _error(task: BackgroundTask) -> str | None:
    """The error of a failed task."""
    if task.status is not TaskStatus.FAILED:
        return None
    said = task.data.get("error")
    return said if said in _FAULTS else "The task failed because of a fault on our side. Start it again."


def _results(visit: Visit, task: BackgroundTask) -> str:
    """The log of the messages that it sent."""
    endpoint = task.arguments.get("endpoint")
    ref = visit.endpoint_ref(UUID(endpoint)) if endpoint else None
    return visit.path("messages", endpoint=ref)


async def _about(visit: Visit, task: BackgroundTask) -> list[tuple[str, object]]:
    """The filter or endpoint of a task, as labels and values."""
    known = {one.id: endpoint_name(one) for one in await visit.services.log.endpoints(visit.app_id)}
    wanted = task.arguments.get("filter")
    if wanted is not None:
        return list(message_filter.said(LogFilter.of(wanted), known))
    endpoint = task.arguments.get("endpoint")
    return [("Endpoint", known.get(UUID(endpoint), ""))] if endpoint else []


def routes() -> list[Route]:
    return [
        page("/tasks/{task}", show),
        action("/tasks/{task}/cancel", cancel, Capability.CREATE_ATTEMPTS),
    ]
