"""Pages that resend all deliveries that match a filter of the message log: confirm, then start at a rate.

The confirmation fixes the times of the filter: a message that fails while the user reads the page is not
sent.
"""

from __future__ import annotations

from typing import Final

from starlette.responses import Response
from starlette.routing import Route

from angarium.core.claims import Capability
from angarium.core.errors import Invalid
from angarium.portal import message_filter, task_page
from angarium.portal.form import Form
from angarium.portal.message_filter import Asked
from angarium.portal.message_list import asked_of
from angarium.portal.route import action, page
from angarium.portal.visit import Visit
from angarium.portal.words import endpoint_name
from angarium.service.log import LogPage

RATES: Final = {
    5: "Slow: 5 per second",
    20: "Normal: 20 per second",
    100: "Fast: 100 per second",
    500: "Fastest: 500 per second",
}
SEEN: Final = 100  # deliveries searched for ones that already wait for a resend
RATE: Final = 20  # the default


async def confirm(visit: Visit) -> Response:
    """Shows the count and the options."""
    asked = asked_of(visit, visit.request.query_params.multi_items()).fixed(visit.now)
    return await _confirm(visit, asked)


async def start(visit: Visit, form: Form) -> Response:
    """Starts the task and redirects to its page."""
    asked = asked_of(visit, form.pairs)
    chosen = form.text("rate")
    rate = next((one for one in RATES if str(one) == chosen), None)
    if rate is None:
        return await _confirm(visit, asked, fault="Choose a rate.")
    if asked.faults:
        return await _confirm(visit, asked)
    if everything(asked) and not form.has("all"):
        return await _confirm(visit, asked, unsure="Tick this box, or go back and set a filter.")
    replay = visit.services.replay
    expected = await replay.count_matching(visit.app_id, asked.wanted)
    task = await replay.resend_matching(
        visit.application.org_id, visit.app_id, asked.wanted, rate=rate, expected=expected
    )
    return visit.go(task_page.path_of(visit, task.id, said="started"))


def everything(asked: Asked) -> bool:
    """Whether the filter matches everything up to its end time."""
    return not asked.statuses and set(asked.values) <= {"until"}


async def _confirm(
    visit: Visit, asked: Asked, *, fault: str | None = None, unsure: str | None = None
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
        "message_resend.html",
        status=422 if faults or fault or unsure else 200,
        section="messages",
        heading="Send again",
        asked=asked,
        said=message_filter.said(asked.wanted, endpoints),
        faults=faults,
        fault=fault,
        everything=everything(asked),
        unsure=unsure,
        count=count,
        waiting=sum(line.row.manual_at is not None for line in found.lines),
        more_waiting=found.older is not None,
        rates=RATES,
        rate=RATE,
        lasts=None if count is None else {rate: count.number / rate for rate in RATES},
    )


def routes() -> list[Route]:
    return [
        page("/messages/resend", confirm, Capability.CREATE_ATTEMPTS),
        action("/messages/resend", start, Capability.CREATE_ATTEMPTS),
    ]
