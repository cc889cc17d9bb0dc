"""Draws three charts of an application or an endpoint: attempts by result, error rate, response time.

A table below the charts has the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from angarium.core.hourly_stats import Span
from angarium.portal import chart
from angarium.portal.chart import Frame
from angarium.portal.words import duration, number, share
from angarium.service.overview import Series

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
