"""Send again all that matches a filter of the message log: counted and confirmed first, then at a rate.

What is confirmed is what is sent: the count fixes the times of the filter, so that nothing that fails while
somebody reads it is sent unasked.
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
    5: "Gently: 5 a second",
    20: "20 a second",
    100: "Quickly: 100 a second",
    500: "As fast as can be: 500 a second",
}
SEEN: Final = 100  # deliveries looked at for those that wait to be sent again already
RATE: Final = 20  # unless another is chosen


async def confirm(visit: Visit) -> Response:
    """How many it would be, and what to choose before it begins."""
    asked = asked_of(visit, visit.request.query_params.multi_items()).fixed(visit.now)
    return await _confirm(visit, asked)


async def start(visit: Visit, form: Form) -> Response:
    """Begin; where it can be watched is the page that follows."""
    asked = asked_of(visit, form.pairs)
    chosen = form.text("rate")
    rate = next((one for one in RATES if str(one) == chosen), None)
    if rate is None:
        return await _confirm(visit, asked, fault="Choose one of these.")
    if asked.faults:
        return await _confirm(visit, asked)
    if everything(asked) and not form.has("all"):
        return await _confirm(visit, asked, unsure="Tick this, or go back and choose a filter.")
    replay = visit.services.replay
    expected = await replay.count_matching(visit.app_id, asked.wanted)
    task = await replay.resend_matching(
        visit.application.org_id, visit.app_id, asked.wanted, rate=rate, expected=expected
    )
    return visit.go(task_page.path_of(visit, task.id, said="started"))


def everything(asked: Asked) -> bool:
    """Whether the filter leaves nothing out but what comes later."""
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
