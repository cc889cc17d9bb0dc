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
from angarium.portal.customer.usage import limit_rows
from angarium.portal.kit import chart
from angarium.portal.kit.chart import Frame
from angarium.portal.kit.route import page
from angarium.portal.kit.text import t
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
    """An endpoint that needs attention: its health, the reason and the remedy."""

    endpoint: LogEndpoint
    name: str
    kind: str  # of the badge
    health: str
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
        heading=t("overview.title"),
        endpoints=endpoints,
        begun=bool(any_message),
        concerns=concerns[:MAX_SHOWN],
        more=len(concerns) - MAX_SHOWN,
        limits=limit_rows(await services.quota.of(visit.application)),
        failures=failures,
        waits=await services.overdue.of(visit.app_id, (line.row for line in failures)),
        drawings=drawings(series, span),
        series=series,
        span=span,
        choices=[(visit.path(span=one.value), t(f"chart.span.{one.value}"), one is span) for one in Span],
    )


def concerned(endpoints: Sequence[LogEndpoint], health: Mapping[UUID, EndpointHealth]) -> list[Concern]:
    """The endpoints that need attention, worst first."""
    found = [(_concern(one, health[one.id]), health[one.id].failed) for one in endpoints]
    rank = {"bad": 0, "warn": 1}
    known = [(concern, failed) for concern, failed in found if concern is not None]
    known.sort(key=lambda one: (rank[one[0].kind], -one[1]))
    return [concern for concern, _ in known]


def _concern(endpoint: LogEndpoint, health: EndpointHealth) -> Concern | None:
    last = failure_title(health.last_error_code)
    step = health.last_error_code and kind_of(health.last_error_code).advice
    if health.disabled_at is not None:
        if health.disabled_reason == DisabledReason.MANUAL:
            return None  # disabled on purpose
        gone = health.disabled_reason == DisabledReason.GONE
        kind, name, since = "bad", "disabled", health.disabled_at.timestamp()
        reason = t("overview.gone" if gone else "overview.disabled")
        step = t("overview.gone_step" if gone else "overview.disabled_step")
    elif health.failing_since is not None and health.failures > 1:
        kind, name, since = "bad", "failing", health.failing_since.timestamp()
        reason = t(
            "overview.failing_last" if last else "overview.failing",
            number=number(health.failures),
            failure=last,
        )
    elif health.unsteady and health.error_rate is not None:
        kind, name, since = "warn", "unsteady", None
        reason = t(
            "overview.unsteady_last" if last else "overview.unsteady",
            share=share(health.error_rate),
            failure=last,
        )
    else:
        return None
    remedy = step or t("overview.see_attempts")
    return Concern(endpoint, endpoint_name(endpoint), kind, name, reason, remedy, since)


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
    title = t("chart.attempts")
    summary = t(
        "chart.attempts_summary", delivered=number(series.total.delivered), failed=number(series.total.failed)
    )
    svg = chart.bars(
        _frame("results", title, summary, span),
        [point.delivered for point in series.points],
        [point.failed for point in series.points],
    )
    return Drawing(title, summary, t("chart.attempts_legend"), svg)


def _error_rate(series: Series, span: Span) -> Drawing:
    rates = [None if point.error_rate is None else point.error_rate * 100 for point in series.points]
    title, summary, rate = t("chart.errors"), t("chart.none"), series.total.error_rate
    if rate is not None:
        summary = t("chart.errors_summary", share=share(rate))
    worst = max((rate for rate in rates if rate is not None), default=0.0)
    told = t("chart.errors_worst", summary=summary, worst=f"{worst:.0f}") if worst else summary
    frame = _frame("errors", title, told, span)
    svg = chart.lines(frame, rates, say=lambda value: t("unit.percent", number=f"{value:g}"))
    return Drawing(title, summary, t("chart.errors_legend"), svg)


def _latency(series: Series, span: Span) -> Drawing:
    total = series.total
    title, summary = t("chart.latency"), t("chart.none")
    if total.p50_ms is not None and total.p95_ms is not None:
        summary = t("chart.latency_summary", median=duration(total.p50_ms), p95=duration(total.p95_ms))
    svg = chart.lines(
        _frame("latency", title, summary, span),
        [point.p50_ms for point in series.points],
        [point.p95_ms for point in series.points],
        say=_axis_duration,
    )
    return Drawing(title, summary, t("chart.latency_legend"), svg)


def _frame(name: str, title: str, summary: str, span: Span) -> Frame:
    titled = t("chart.title", title=title, span=t(f"chart.span.{span.value}"))
    return Frame(name, titled, t("chart.description", summary=summary), _ticks(span))


def _ticks(span: Span) -> tuple[str, ...]:
    now = t("chart.now")
    match span:
        case Span.DAY:
            return t("chart.hours", number=24), t("chart.hours", number=12), now
        case Span.WEEK:
            return t("chart.days", number=7), now
        case Span.MONTH:
            return t("chart.days", number=28), t("chart.days", number=14), now


def _axis_duration(milliseconds: float) -> str:
    if milliseconds < 1000:
        return t("unit.milliseconds", number=f"{milliseconds:g}")
    return t("unit.seconds", number=f"{milliseconds / 1000:g}")


def routes() -> list[Route]:
    return [page("", show)]
