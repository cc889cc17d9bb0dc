"""Operator pages that list undelivered messages by endpoint, resend them in bulk and show the progress."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.errors import BadRequest, NotFound
from angarium.portal import confirm
from angarium.portal.admin_page import application_ref
from angarium.portal.form import Form
from angarium.portal.operator import OperatorVisit, operator_action, operator_page
from angarium.service.operator import RECENT
from angarium.store.dead_letter import Undelivered

ROWS = 50
TASKS = 50


async def show(visit: OperatorVisit) -> Response:
    """The undelivered messages of the last 14 days, by endpoint."""
    found = await visit.services.operator.undelivered(visit.org_id, visit.asked("cursor") or None, limit=ROWS)
    return visit.render(
        "admin_dead_letters.html",
        section="dead-letters",
        heading="Dead letters",
        found=found.endpoints,
        older=found.older and visit.path("dead-letters", cursor=found.older),
        application_ref=application_ref,
        endpoint_ref=lambda one: ids.text(visit.product.profile.ids.endpoint, one),
        native_ref=lambda one: ids.text(ids.ENDPOINT, one),
        many=sum(one.undelivered.number for one in found.endpoints if not one.undelivered.disabled),
    )


async def replay(visit: OperatorVisit, form: Form) -> Response:
    """Resends the undelivered messages of the chosen endpoints, each endpoint in a background task."""
    chosen = form.all("endpoint")[:ROWS]
    if not chosen:
        raise BadRequest("Choose at least one endpoint.")
    undelivered = [await _undelivered(visit, one) for one in chosen]
    if (asked := await _asked(visit, form, undelivered)) is not None:
        return asked
    await visit.services.operator.recover(visit.org_id, undelivered)
    return visit.go(visit.path("tasks", said="started"))


async def _asked(visit: OperatorVisit, form: Form, undelivered: list[Undelivered]) -> Response | None:
    since = datetime_at(visit.now - RECENT)
    counts = [
        await visit.services.replay.count_recoverable(
            one.app_id, ids.text(ids.ENDPOINT, one.endpoint_id), since, None
        )
        for one in undelivered
    ]
    exact = all(one.exact for one in counts)
    messages = confirm.counted(sum(one.number for one in counts), "message", "messages", exact=exact)
    endpoints = confirm.counted(len(undelivered), "endpoint", "endpoints")
    return confirm.question(
        visit,
        form,
        heading="Send again?",
        happens=f"{messages} will be sent again to {endpoints}.",
        button="Send again",
        back=visit.path("dead-letters"),
        section="dead-letters",
        layout="admin.html",
    )


async def tasks(visit: OperatorVisit) -> Response:
    """The bulk resends and their progress."""
    found = await visit.services.background_task.page(visit.org_id, None, ascending=False, limit=TASKS)
    values: dict[str, Any] = {
        "found": found,
        "running": any(one.status == "running" for one in found),
        "application_ref": application_ref,
    }
    if "hx-request" in visit.request.headers:
        return visit.render("admin_task_rows.html", **values)
    return visit.render("admin_tasks.html", section="tasks", heading="Resends", **values)


async def _undelivered(visit: OperatorVisit, text: str) -> Undelivered:
    """The endpoint of a checkbox. Raises NotFound if it belongs to another organization."""
    app_ref, _, endpoint_ref = text.partition(".")
    endpoint_id = ids.parse(ids.ENDPOINT, endpoint_ref)
    if endpoint_id is None:
        raise NotFound()
    application = await visit.services.application.find(visit.org_id, app_ref)
    endpoint = await visit.services.endpoint.find(application.id, endpoint_ref)
    return Undelivered(application.id, endpoint.id, endpoint.url, endpoint.disabled_at is not None, 0)


def routes() -> list[Route]:
    return [
        operator_page("/dead-letters", show),
        operator_action("/dead-letters", replay),
        operator_page("/tasks", tasks),
    ]
