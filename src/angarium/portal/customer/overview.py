"""Overview page of an application: charts, endpoints that need attention, and first steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from markupsafe import Markup
from starlette.responses import Response
from starlette.routing import Route

from angarium.core.failure import kind_of
from angarium.core.hourly_stats import Span
from angarium.core.log_filter import LogFilter, LogStatus
from angarium.core.nouns import DisabledReason
from angarium.portal.customer import message_filter
from angarium.portal.kit import chart
from angarium.portal.kit.chart import Frame
from angarium.portal.kit.route import page
from angarium.portal.kit.visit import Visit
from angarium.portal.kit.words import duration, endpoint_name, failure_title, number, share
from angarium.service.overview import Series
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
    services, span = visit.services, span_of(visit.request.query_params.get("span"))
    endpoints = [one for one in await services.log.endpoints(visit.app_id) if not one.deleted]
    any_message = (await services.log.page(visit.app_id, LogFilter(), limit=1)).lines
    failures = (await services.log.page(visit.app_id, _LOST, limit=FAILURES)).lines if any_message else ()
    judged = endpoints[-MAX_JUDGED:]
    health = await services.overview.health(visit.app_id, [one.id for one in judged])
    concerns = concerned(judged, health)
    series = await services.overview.series(visit.app_id, span)
    return visit.render(
        "customer/overview.html",
        section="",
        heading="Overview",
        endpoints=endpoints,
        begun=bool(any_message),
        concerns=concerns[:MAX_SHOWN],
        more=len(concerns) - MAX_SHOWN,
        failures=failures,
        waits=await services.overdue.of(visit.app_id, (line.row for line in failures)),
        drawings=drawings(series, span),
        series=series,
        span=span,
        choices=[(visit.path(span=one.value), words, one is span) for one, words in SPANS.items()],
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
    last = failure_title(health.last_error_code)
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


SPANS: Final = {Span.DAY: "24 hours", Span.WEEK: "7 days", Span.MONTH: "28 days"}
_TICKS: Final = {
    Span.DAY: ("24 h ago", "12 h ago", "now"),
    Span.WEEK: ("7 days ago", "now"),
    Span.MONTH: ("28 days ago", "14 days ago", "now"),
}


@dataclass(frozen=True, slots=True)
class Drawing:
    """One chart with its title, a summary and a legend."""

    title: str
    summary: str
    legend: str
    svg: Markup


def span_of(text: str | None) -> Span:
    """The span that a URL names; the shortest if it names none."""
    return next((span for span in Span if span.value == text), Span.DAY)


def drawings(series: Series, span: Span) -> list[Drawing]:
    """The three charts."""
    return [_results(series, span), _error_rate(series, span), _latency(series, span)]


def _results(series: Series, span: Span) -> Drawing:
    total = series.total
    summary = f"{number(total.delivered)} delivered, {number(total.failed)} failed"
    svg = chart.bars(
        _frame("results", "Attempts", summary, span),
        [point.delivered for point in series.points],
        [point.failed for point in series.points],
    )
    return Drawing("Attempts", summary, "Bottom: delivered. Top: failed.", svg)


def _error_rate(series: Series, span: Span) -> Drawing:
    rates = [None if point.error_rate is None else point.error_rate * 100 for point in series.points]
    summary = (
        "No attempts"
        if series.total.error_rate is None
        else f"{share(series.total.error_rate)} of attempts failed"
    )
    worst = max((rate for rate in rates if rate is not None), default=0.0)
    told = f"{summary}, at most {worst:.0f} % in one interval" if worst else summary
    frame = _frame("errors", "Error rate", told, span)
    svg = chart.lines(frame, rates, say=lambda value: f"{value:g} %")
    return Drawing("Error rate", summary, "Share of attempts that failed.", svg)


def _latency(series: Series, span: Span) -> Drawing:
    total = series.total
    summary = "No attempts"
    if total.p50_ms is not None and total.p95_ms is not None:
        summary = f"Median {duration(total.p50_ms)}, 95th percentile {duration(total.p95_ms)}"
    svg = chart.lines(
        _frame("latency", "Response time", summary, span),
        [point.p50_ms for point in series.points],
        [point.p95_ms for point in series.points],
        say=_axis_duration,
    )
    return Drawing("Response time", summary, "Solid: median. Dashed: 95th percentile.", svg)


def _frame(name: str, title: str, summary: str, span: Span) -> Frame:
    return Frame(name, f"{title}, last {SPANS[span]}", f"{summary}.", _TICKS[span])


def _axis_duration(milliseconds: float) -> str:
    return f"{milliseconds:g} ms" if milliseconds < 1000 else f"{milliseconds / 1000:g} s"


def routes() -> list[Route]:
    return [page("", show)]
