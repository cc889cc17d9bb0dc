"""A background task: what it does, how far it has come, and how to stop it. It lives on without this page."""

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
    "endpoint.recover": "Recovering what failed",
    "endpoint.replay": "Sending what was never sent",
    "delivery.resend": "Sending messages again",
}
_FAULTS: Final = ("The endpoint was deleted.", "The endpoint is disabled.")
"""Why a task may fail, as customers may know it; everything else is ours."""
_STATUS: Final = {
    "running": ("wait", "Running"),
    "finished": ("good", "Done"),
    "failed": ("bad", "Failed"),
    "canceled": ("none", "Stopped"),
}


def path_of(visit: Visit, task_id: UUID, **query: str) -> str:
    """Where a task is seen."""
    return visit.path("tasks", ids.text(ids.TASK, task_id), **query)


async def running(visit: Visit) -> list[tuple[str, str, BackgroundTask]]:
    """The tasks that are under way: where each is seen, what it does, and itself."""
    tasks = await visit.services.background_task.of_application(visit.app_id)
    return [
        (path_of(visit, task.id), doing(task), task) for task in tasks if task.status is TaskStatus.RUNNING
    ]


def doing(task: BackgroundTask) -> str:
    """What a task does, in words."""
    return _DOING.get(task.kind, "Working")


async def show(visit: Visit) -> Response:
    """The page, or for htmx how far it has come."""
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
    """Stop it; what was sent stays sent."""
    task = await visit.services.background_task.cancel(visit.app_id, visit.request.path_params["task"])
    said = {"said": "stopped"} if task.status is TaskStatus.CANCELED else {}
    return visit.go(path_of(visit, task.id, **said))


def _error(task: BackgroundTask) -> str | None:
    """Why it failed."""
    if task.status is not TaskStatus.FAILED:
        return None
    said = task.data.get("error")
    return (
        said if said in _FAULTS else "Something went wrong on our side, so it was given up. Begin it again."
    )


def _results(visit: Visit, task: BackgroundTask) -> str:
    """Where one sees what became of what it sent."""
    endpoint = task.arguments.get("endpoint")
    ref = visit.endpoint_ref(UUID(endpoint)) if endpoint else None
    return visit.path("messages", endpoint=ref)


async def _about(visit: Visit, task: BackgroundTask) -> list[tuple[str, object]]:
    """What it is about, each thing with its name."""
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
