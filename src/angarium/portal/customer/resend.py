"""Pages that send messages again in the background: start a task, see its progress, and stop it.

A task recovers the undelivered messages of an endpoint, sends it those that were accepted before it existed,
was enabled or subscribed to them, or resends what a filter of the message log matches. The confirmation fixes
the times of the filter: a message that fails while the user reads the page is not sent.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from starlette.responses import Response
from starlette.routing import Route

from angarium.clock import datetime_at
from angarium.core import ids, timestamp
from angarium.core.claims import Capability
from angarium.core.errors import BadRequest, Invalid
from angarium.core.log_filter import LogFilter
from angarium.core.nouns import Endpoint
from angarium.portal.customer import message_filter
from angarium.portal.customer.endpoint import found, native_ref, render
from angarium.portal.customer.message_filter import RequestedFilter, asked_of
from angarium.portal.kit.form import Form
from angarium.portal.kit.route import action, page
from angarium.portal.kit.text import known, t
from angarium.portal.kit.visit import Visit
from angarium.portal.kit.words import TASK_KINDS, endpoint_name
from angarium.service.log import LogPage
from angarium.store.background_task import BackgroundTask, TaskStatus

HOUR: Final = 3600.0
PRESETS: Final = {"1h": HOUR, "24h": 24 * HOUR, "7d": 7 * 24 * HOUR, "14d": 14 * 24 * HOUR}
RATES: Final = (5, 20, 100, 500)  # deliveries per second
SEEN: Final = 100  # deliveries searched for ones that already wait for a resend
RATE: Final = 20  # the default


async def show_recover(visit: Visit) -> Response:
    """The counts for a window: `since` is a preset, or `custom` with a time in `from`."""
    endpoint = await found(visit)
    query = visit.request.query_params
    chosen = query.get("since", "24h")
    given = query.get("from", "")
    return await _recover(visit, endpoint, chosen, given)


async def recover(visit: Visit, posted: Form) -> Response:
    """Resends what failed or was canceled."""
    return await _begin(visit, posted, visit.services.replay.recover)


async def replay_missing(visit: Visit, posted: Form) -> Response:
    """Sends what was never sent to this endpoint."""
    return await _begin(visit, posted, visit.services.replay.replay_missing)


async def _begin(visit: Visit, posted: Form, start: Any) -> Response:
    endpoint = await found(visit)
    given = posted.text("moment")
    try:
        since = _moment(given)
        task = await start(visit.application.org_id, visit.app_id, native_ref(visit), since, None)
    except (Invalid, BadRequest):
        return await _recover(visit, endpoint, "custom", given, status=422)
    return visit.go(path_of(visit, task.id, done="started"))


async def _recover(
    visit: Visit, endpoint: Endpoint, chosen: str, given: str, *, status: int = 200
) -> Response:
    undelivered = missing = None
    since: datetime | None = None
    fault: str | None = None
    try:
        if chosen in PRESETS:
            since = datetime_at(visit.now - PRESETS[chosen])
        elif given:
            since = _moment(given)
            given = f"{since:%Y-%m-%dT%H:%M}"  # for the input, which is in UTC
        if since is not None:
            ref = native_ref(visit)
            undelivered = await visit.services.replay.count_recoverable(visit.app_id, ref, since, None)
            missing = await visit.services.replay.count_missing(visit.app_id, ref, since, None)
    except Invalid as error:
        fault, status = error.faults[0].msg, 422
    return await render(
        visit,
        "customer/endpoint_recover.html",
        endpoint,
        "recover",
        status=status,
        presets=PRESETS,
        chosen=chosen if chosen in PRESETS else "custom",
        given=given[:16],
        since=since,
        moment=None if since is None else since.astimezone(UTC).isoformat(),
        undelivered=undelivered,
        missing=missing,
        fault=fault,
    )


def _moment(text: str) -> datetime:
    """Parses the time of the form, in UTC or with a zone. Raises Invalid."""
    try:
        return timestamp.parse_form(text)
    except ValueError:
        raise Invalid.field("from", t("recover.fault_time")) from None


async def confirm(visit: Visit) -> Response:
    """Shows the count and the options."""
    asked = asked_of(visit, visit.request.query_params.multi_items()).fixed(visit.now)
    return await _confirm(visit, asked)


async def resend(visit: Visit, form: Form) -> Response:
    """Starts the task and redirects to its page."""
    asked = asked_of(visit, form.pairs)
    chosen = form.text("rate")
    rate = next((one for one in RATES if str(one) == chosen), None)
    if rate is None:
        return await _confirm(visit, asked, fault=t("resend.fault.rate"))
    if asked.faults:
        return await _confirm(visit, asked)
    if everything(asked) and not form.has("all"):
        return await _confirm(visit, asked, unsure=t("resend.fault.everything"))
    replay = visit.services.replay
    expected = await replay.count_matching(visit.app_id, asked.wanted)
    task = await replay.resend_matching(
        visit.application.org_id, visit.app_id, asked.wanted, rate=rate, expected=expected
    )
    return visit.go(path_of(visit, task.id, done="started"))


def everything(asked: RequestedFilter) -> bool:
    """Whether the filter matches everything up to its end time."""
    return not asked.statuses and set(asked.values) <= {"until"}


async def _confirm(
    visit: Visit, asked: RequestedFilter, *, fault: str | None = None, unsure: str | None = None
) -> Response:
    endpoints = {one.id: endpoint_name(one) for one in await visit.services.log.endpoints(visit.app_id)}
    faults, count, found = dict(asked.faults), None, LogPage()
    if not faults:
        try:
            count = await visit.services.replay.count_matching(visit.app_id, asked.wanted)
            if not count.number:
                found = await visit.services.log.page(visit.app_id, asked.wanted, limit=SEEN)
        except Invalid as error:
            faults = {str(one.loc[-1]): one.msg for one in error.faults}
    return visit.render(
        "customer/message_resend.html",
        status=422 if faults or fault or unsure else 200,
        section="messages",
        heading=t("resend.title"),
        asked=asked,
        about=message_filter.described(asked.wanted, endpoints),
        faults=faults,
        fault=fault,
        everything=everything(asked),
        unsure=unsure,
        count=count,
        waiting=sum(line.row.manual_at is not None for line in found.lines),
        more_waiting=found.older is not None,
        rates=RATES,
        rate=RATE,
    )


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
    name = f"task.kind.{task.kind.replace('.', '_')}"
    return t(name) if known(name) else t("task.kind.other")


async def show(visit: Visit) -> Response:
    """The page; for htmx only the progress."""
    task = await visit.services.background_task.one(visit.app_id, visit.request.path_params["task"])
    values: dict[str, Any] = {
        "task": task,
        "kind": TASK_KINDS[task.status],
        "error": None if task.error is None else t(f"task.error.{task.error}"),
        "path": path_of(visit, task.id),
        "results": _results(visit, task),
    }
    if visit.is_partial:
        return visit.render("customer/task_progress.html", **values)
    return visit.render(
        "customer/task.html",
        section="messages",
        heading=doing(task),
        about=await _about(visit, task),
        **values,
    )


async def cancel(visit: Visit, _: Form) -> Response:
    """Stops the task. Messages that were sent stay sent."""
    task = await visit.services.background_task.cancel(visit.app_id, visit.request.path_params["task"])
    done = {"done": "stopped"} if task.status is TaskStatus.CANCELED else {}
    return visit.go(path_of(visit, task.id, **done))


def _results(visit: Visit, task: BackgroundTask) -> str:
    """The log of the messages that it sent."""
    endpoint = task.arguments.get("endpoint")
    ref = visit.endpoint_ref(UUID(endpoint)) if endpoint else None
    return visit.path("messages", endpoint=ref)


async def _about(visit: Visit, task: BackgroundTask) -> list[tuple[str, object]]:
    """The filter or endpoint of a task, as labels and values."""
    names = {one.id: endpoint_name(one) for one in await visit.services.log.endpoints(visit.app_id)}
    wanted = task.arguments.get("filter")
    if wanted is not None:
        return list(message_filter.described(LogFilter.of(wanted), names))
    endpoint = task.arguments.get("endpoint")
    return [(t("task.endpoint"), names.get(UUID(endpoint), ""))] if endpoint else []


def routes() -> list[Route]:
    may = Capability.CREATE_ATTEMPTS
    return [
        page("/endpoints/{endpoint}/recover", show_recover, may),
        action("/endpoints/{endpoint}/recover", recover, may),
        action("/endpoints/{endpoint}/replay-missing", replay_missing, may),
        page("/messages/resend", confirm, may),
        action("/messages/resend", resend, may),
        page("/tasks/{task}", show),
        action("/tasks/{task}/cancel", cancel, may),
    ]
