"""Operator pages: applications, endpoints, message search, dead letters, resends and the audit log."""

from __future__ import annotations

from operator import attrgetter
from typing import Any
from uuid import UUID

from starlette.responses import Response
from starlette.routing import Route

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.errors import BadRequest, NotFound
from angarium.portal.customer.audit import ALL_NOUNS, for_operator, records
from angarium.portal.kit.form import Form
from angarium.portal.kit.text import t
from angarium.portal.kit.visit import Part
from angarium.portal.operator.visit import OperatorVisit, operator_action, operator_page
from angarium.service.operator import EndpointStatus
from angarium.service.replay import RECENT
from angarium.store.operator import Undelivered

ROWS = 50
HEALTH = (EndpointStatus.FAILING, EndpointStatus.DISABLED, EndpointStatus.HEALTHY)
TASKS = 50


async def applications(visit: OperatorVisit) -> Response:
    """All applications, newest first, or the results of a search."""
    wanted = visit.asked("q")[:256]
    if wanted:
        part = Part(list(await visit.services.operator.search(visit.org_id, wanted, limit=ROWS)))
    else:
        part = await visit.part(
            ids.APPLICATION,
            ROWS,
            lambda cursor, upwards, limit: visit.services.operator.applications(
                visit.org_id, cursor, backwards=upwards, limit=limit
            ),
            attrgetter("application.id"),
        )
    return visit.render(
        "operator/applications.html",
        section="",
        heading=t("applications.title"),
        wanted=wanted,
        found=part.rows,
        newer=part.newer and visit.path(after=part.newer),
        older=part.older and visit.path(before=part.older),
        application_ref=application_ref,
    )


async def endpoints(visit: OperatorVisit) -> Response:
    """The endpoints of one health; failing ones by default."""
    health = next(
        (one for one in EndpointStatus if one.value == visit.asked("health")), EndpointStatus.FAILING
    )
    found = await visit.services.operator.endpoints(
        visit.org_id, health, visit.asked("cursor") or None, limit=ROWS
    )
    older = found.older and visit.path("endpoints", health=health.value, cursor=found.older)
    return visit.render(
        "operator/endpoints.html",
        section="endpoints",
        heading=t("all_endpoints.title"),
        health=health.value,
        tabs=[
            (visit.path("endpoints", health=one.value), t(f"health.{one.value}"), one is health)
            for one in HEALTH
        ],
        found=found.endpoints,
        older=older,
        application_ref=application_ref,
        endpoint_ref=lambda one: ids.text(visit.product.profile.ids.endpoint, one),
    )


async def messages(visit: OperatorVisit) -> Response:
    """The message with this id, or the messages with this event id, in all applications."""
    wanted = visit.asked("id")[:256]
    found = None
    if wanted:
        parsed = ids.parse(visit.product.profile.ids.message, wanted)
        ref = wanted if parsed is None else ids.text(ids.MESSAGE, parsed)
        found = await visit.services.operator.find_message(visit.org_id, ref)
    return visit.render(
        "operator/messages.html",
        section="messages",
        heading=t("find_message.title"),
        wanted=wanted,
        found=found,
        application_ref=application_ref,
        message_ref=visit.product.message_format.message_id,
    )


async def audit_events(visit: OperatorVisit) -> Response:
    """The audit log of the organization, or of one application."""
    application = visit.asked("application")[:256]
    return await records(
        visit,
        ALL_NOUNS,
        application or None,
        for_operator,
        "operator/audit.html",
        application=application,
        of_application=lambda app_id: visit.path("audit", application=application_ref(app_id)),
        application_ref=application_ref,
    )


def application_ref(app_id: UUID) -> str:
    return ids.text(ids.APPLICATION, app_id)


async def dead_letters(visit: OperatorVisit) -> Response:
    """The undelivered messages of the last 14 days, by endpoint."""
    found = await visit.services.operator.undelivered(visit.org_id, visit.asked("cursor") or None, limit=ROWS)
    return visit.render(
        "operator/dead_letters.html",
        section="dead-letters",
        heading=t("dead_letters.title"),
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
        raise BadRequest(t("dead_letters.fault"))
    undelivered = [await _undelivered(visit, one) for one in chosen]
    if (asked := await _asked(visit, form, undelivered)) is not None:
        return asked
    await visit.services.operator.recover(visit.org_id, undelivered)
    return visit.go(visit.path("tasks", done="started"))


async def _asked(visit: OperatorVisit, form: Form, undelivered: list[Undelivered]) -> Response | None:
    since = datetime_at(visit.now - RECENT)
    counts = [
        await visit.services.replay.count_recoverable(
            one.app_id, ids.text(ids.ENDPOINT, one.endpoint_id), since, None
        )
        for one in undelivered
    ]
    exact = all(one.exact for one in counts)
    messages = t("dead_letters.messages", sum(one.number for one in counts), exact=exact)
    return visit.question(
        form,
        heading=t("dead_letters.question"),
        happens=t(
            "dead_letters.happens",
            messages=messages,
            endpoints=t("dead_letters.endpoints", len(undelivered)),
        ),
        button=t("dead_letters.confirm"),
        back=visit.path("dead-letters"),
        section="dead-letters",
    )


async def tasks(visit: OperatorVisit) -> Response:
    """The bulk resends and their progress."""
    found = await visit.services.background_task.page(visit.org_id, None, ascending=False, limit=TASKS)
    values: dict[str, Any] = {
        "found": found,
        "running": any(one.status == "running" for one in found),
        "application_ref": application_ref,
    }
    if visit.is_partial:
        return visit.render("operator/task_rows.html", **values)
    return visit.render("operator/tasks.html", section="tasks", heading=t("tasks.title"), **values)


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
        operator_page("", applications),
        operator_page("/endpoints", endpoints),
        operator_page("/messages", messages),
        operator_page("/audit", audit_events),
        operator_page("/dead-letters", dead_letters),
        operator_action("/dead-letters", replay),
        operator_page("/tasks", tasks),
    ]
