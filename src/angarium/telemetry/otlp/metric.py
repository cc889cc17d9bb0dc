"""Converts a snapshot to OpenTelemetry's metrics, with the names, labels and buckets of `/metrics`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.export import Histogram as HistogramData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from angarium import __version__
from angarium.telemetry.registry import PREFIX, Family, Labels, MetricType, Series, Snapshot

SCOPE: Final = InstrumentationScope("angarium", __version__)
TOTAL: Final = AggregationTemporality.CUMULATIVE
_UNITS: Final = {"seconds": "s", "bytes": "By"}


def metrics_data(
    catalogue: Mapping[str, Family], snapshot: Snapshot, resource: Resource, since: float, now: float
) -> MetricsData:
    """`since`: when counters began, epoch seconds."""
    begin, at = _nanoseconds(since), _nanoseconds(now)
    metrics = [
        _metric(family, series, begin, at)
        for name, family in catalogue.items()
        if (series := snapshot.get(name))
    ]
    return MetricsData([ResourceMetrics(resource, [ScopeMetrics(SCOPE, metrics, "")], "")])


def _metric(family: Family, series: Series, begin: int, at: int) -> Metric:
    data: Gauge | HistogramData | Sum
    if family.kind is MetricType.HISTOGRAM:
        data = HistogramData(list(_histograms(family, series, begin, at)), TOTAL)
    elif family.kind is MetricType.COUNTER:
        data = Sum(list(_numbers(family, series, begin, at)), TOTAL, is_monotonic=True)
    else:
        data = Gauge(list(_numbers(family, series, None, at)))
    return Metric(PREFIX + family.name, family.meaning, _unit(family.name), data)


def _numbers(family: Family, series: Series, begin: int | None, at: int) -> Iterator[NumberDataPoint]:
    for labels, (value,) in series:
        yield NumberDataPoint(_attributes(family, labels), cast(int, begin), at, value)


def _histograms(family: Family, series: Series, begin: int, at: int) -> Iterator[HistogramDataPoint]:
    for labels, (*counts, total) in series:
        buckets = [int(count) for count in counts]
        yield HistogramDataPoint(
            attributes=_attributes(family, labels),
            start_time_unix_nano=begin,
            time_unix_nano=at,
            count=sum(buckets),
            sum=total,
            bucket_counts=buckets,
            explicit_bounds=[float(bound) for bound in family.buckets],
            # not known, and optional in the protocol
            min=cast(Any, None),
            max=cast(Any, None),
        )


def _attributes(family: Family, labels: Labels) -> dict[str, str]:
    return dict(zip(family.shown_labels, labels, strict=True))


def _unit(name: str) -> str:
    """The unit that the name ends in, as OpenTelemetry writes it."""
    return _UNITS.get(name.removesuffix("_total").rpartition("_")[2], "")


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
