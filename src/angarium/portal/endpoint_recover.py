"""Page that counts the undelivered messages of an endpoint and starts a task that sends them.

There are two kinds: messages that failed or were canceled, and messages that were accepted before the
endpoint existed, was enabled or subscribed to them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from starlette.responses import Response
from starlette.routing import Route

from angarium.clock import datetime_at
from angarium.core import timestamp
from angarium.core.claims import Capability
from angarium.core.errors import BadRequest, Invalid
from angarium.core.nouns import Endpoint
from angarium.portal import task_page
from angarium.portal.endpoint_page import found, native_ref, render
from angarium.portal.form import Form
from angarium.portal.route import action, page
from angarium.portal.visit import Visit

HOUR: Final = 3600.0
PRESETS: Final = {"1h": HOUR, "24h": 24 * HOUR, "7d": 7 * 24 * HOUR, "14d": 14 * 24 * HOUR}


async def show(visit: Visit) -> Response:
    """The counts for a window: `since` is a preset, or `custom` with a time in `from`."""
    endpoint = await found(visit)
    query = visit.request.query_params
    chosen = query.get("since", "24h")
    given = query.get("from", "")
    return await _shown(visit, endpoint, chosen, given)


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
        return await _shown(visit, endpoint, "custom", given, status=422)
    return visit.go(task_page.path_of(visit, task.id, said="started"))


async def _shown(visit: Visit, endpoint: Endpoint, chosen: str, given: str, *, status: int = 200) -> Response:
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
        "endpoint_recover.html",
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
        raise Invalid.field("from", "Enter a time, such as 2026-01-31T15:00.") from None


def routes() -> list[Route]:
    path = "/endpoints/{endpoint}/recover"
    return [
        page(path, show, Capability.CREATE_ATTEMPTS),
        action(path, recover, Capability.CREATE_ATTEMPTS),
        action("/endpoints/{endpoint}/replay-missing", replay_missing, Capability.CREATE_ATTEMPTS),
    ]
