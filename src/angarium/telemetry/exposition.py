"""Writes snapshots as Prometheus reads them, in its text format or as OpenMetrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from angarium.telemetry.registry import PREFIX, Family, MetricType, Snapshot


def exposition(catalogue: Mapping[str, Family], snapshot: Snapshot, accept: str = "") -> tuple[bytes, str]:
    """The page and its content type. `accept`: the header of the request."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(catalogue, snapshot))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


class _Families(Collector):
    def __init__(self, catalogue: Mapping[str, Family], snapshot: Snapshot) -> None:
        self._catalogue = catalogue
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        for name, family in self._catalogue.items():
            series = self._snapshot.get(name)
            if series:
                yield _metric(family, series)


def _metric(family: Family, series: list[tuple[tuple[str, ...], list[float]]]) -> Metric:
    named = PREFIX + family.name, family.meaning
    if family.kind is MetricType.HISTOGRAM:
        histogram = HistogramMetricFamily(*named, labels=family.shown_labels)
        bounds = [*(str(float(bound)) for bound in family.buckets), "+Inf"]
        for labels, (*counts, total) in series:
            buckets = list(zip(bounds, accumulate(counts), strict=True))
            histogram.add_metric(labels, buckets, total)
        return histogram
    kind = CounterMetricFamily if family.kind is MetricType.COUNTER else GaugeMetricFamily
    metric = kind(*named, labels=family.shown_labels)
    for labels, (value,) in series:
        metric.add_metric(labels, value)
    return metric
