"""Overview page of an application: charts, endpoints that need attention, and first steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from starlette.responses import Response
from starlette.routing import Route

from angarium.core.failure import kind_of
from angarium.core.log_filter import LogFilter, LogStatus
from angarium.core.nouns import DisabledReason
from angarium.portal import activity, message_filter
from angarium.portal.failure import short
from angarium.portal.route import page
from angarium.portal.visit import Visit
from angarium.portal.words import endpoint_name, share
from angarium.store.hourly_stats import EndpointHealth
from angarium.store.log import LogEndpoint

MAX_JUDGED: Final = 500  # newest endpoints that are checked
MAX_SHOWN: Final = 8
FAILURES: Final = 5  # messages
_LOST: Final = LogFilter(statuses=frozenset({LogStatus.FAILED, LogStatus.RETRYING}))


@dataclass(frozen=True, slots=True)
class Concern:
    """An endpoint that needs attention: its badge, the reason and the remedy."""

    endpoint: LogEndpoint
    name: str
    badge: tuple[str, str]
    reason: str
    remedy: str
    since: float | None  # epoch seconds


async def show(visit: Visit) -> Response:
    """The page."""
    services, span = visit.services, activity.span_of(visit.request.query_params.get("span"))
    endpoints = [one for one in await services.log.endpoints(visit.app_id) if not one.deleted]
    any_message = (await services.log.page(visit.app_id, LogFilter(), limit=1)).lines
    failures = (await services.log.page(visit.app_id, _LOST, limit=FAILURES)).lines if any_message else ()
    judged = endpoints[-MAX_JUDGED:]
    health = await services.overview.health(visit.app_id, [one.id for one in judged])
    concerns = concerned(judged, health)
    series = await services.overview.series(visit.app_id, span)
    return visit.render(
        "overview.html",
        section="",
        heading="Overview",
        endpoints=endpoints,
        begun=bool(any_message),
        concerns=concerns[:MAX_SHOWN],
        more=len(concerns) - MAX_SHOWN,
        failures=failures,
        waits=await services.overdue.of(visit.app_id, (line.row for line in failures)),
        drawings=activity.drawings(series, span),
        series=series,
        span=span,
        choices=[(visit.path(span=one.value), words, one is span) for one, words in activity.SPANS.items()],
        statuses=message_filter.STATUSES,
    )


def concerned(endpoints: Sequence[LogEndpoint], health: Mapping[UUID, EndpointHealth]) -> list[Concern]:
    """The endpoints that need attention, worst first."""
    found = [(_concern(one, health[one.id]), health[one.id].failed) for one in endpoints]
    rank = {"bad": 0, "warn": 1}
    known = [(concern, failed) for concern, failed in found if concern is not None]
    known.sort(key=lambda one: (rank[one[0].badge[0]], -one[1]))
    return [concern for concern, _ in known]


def _concern(endpoint: LogEndpoint, health: EndpointHealth) -> Concern | None:
    last = short(health.last_error_code)
    step = health.last_error_code and kind_of(health.last_error_code).advice
    name = endpoint_name(endpoint)
    if health.disabled_at is not None:
        if health.disabled_reason == DisabledReason.MANUAL:
            return None  # disabled on purpose
        gone = health.disabled_reason == DisabledReason.GONE
        return Concern(
            endpoint,
            name,
            ("bad", "Disabled"),
            "The receiver asked for no more messages." if gone else "All deliveries failed for too long.",
            "If this is a mistake, enable the endpoint and recover its messages."
            if gone
            else "Fix the receiver, enable the endpoint and recover its messages.",
            health.disabled_at.timestamp(),
        )
    if health.failing_since is not None and health.failures > 1:
        reason = f"{health.failures:,} failures in a row" + (f", the last: {last}." if last else ".")
        return Concern(
            endpoint,
            name,
            ("bad", "Failing"),
            reason,
            step or "See its attempts for details.",
            health.failing_since.timestamp(),
        )
    if health.unsteady and health.error_rate is not None:
        reason = f"{share(health.error_rate)} of attempts failed in the last day" + (
            f", the last: {last}." if last else "."
        )
        return Concern(
            endpoint, name, ("warn", "Unsteady"), reason, step or "See its attempts for details.", None
        )
    return None


def routes() -> list[Route]:
    return [page("", show)]
