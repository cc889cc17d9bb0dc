"""Holds the metrics of one process.

Metrics belong to one event loop, so that adding to one is plain arithmetic without a lock. What a caller adds
to often is bound once: `registry.counter("attempts_total", "delivered", …)` returns an object to keep.

A `Snapshot` is a copy of all values as plain data. Everything that leaves the process is made of one: the
text for Prometheus, and what a child process sends to its supervisor.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

import msgspec

T = TypeVar("T")

PREFIX: Final = "angarium_"
MOST: Final = 2000
"""Series of one metric. Further label values are counted as `other`."""
OTHER: Final = "other"


class MetricType(StrEnum):
    """The type of a metric, as Prometheus names it."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Across(StrEnum):
    """How the values of several processes become one."""

    SUM = "sum"
    MAX = "max"
    MIN = "min"
    EACH = "each"  # not at all: each process has a series, with the label `process`


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its name without prefix, and what it means. `buckets` are upper bounds without infinity."""

    name: str
    kind: MetricType
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    across: Across = Across.SUM

    @property
    def shown_labels(self) -> tuple[str, ...]:
        """The labels of its series, as they leave the process."""
        return (*self.labels, "process") if self.across is Across.EACH else self.labels


class Value:
    """One series of a counter or gauge."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def add(self, amount: float = 1.0) -> None:
        self.value += amount

    def set(self, value: float) -> None:
        self.value = float(value)

    def data(self) -> list[float]:
        return [self.value]


class Histogram:
    """One series of a histogram: observations by bucket, and their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def observe_all(self, values: Iterable[float]) -> None:
        counts, bounds, total = self.counts, self.bounds, 0.0
        for value in values:
            counts[bisect_left(bounds, value)] += 1
            total += value
        self.total += total

    def data(self) -> list[float]:
        return [*self.counts, self.total]


Labels = tuple[str, ...]
Series = list[tuple[Labels, list[float]]]
Snapshot = dict[str, Series]
"""By name of the metric: the label values of each series, and its value; of a histogram, the number of
observations in each bucket, then their sum."""

_decode: Final = msgspec.msgpack.Decoder(Snapshot).decode
encoded: Final = msgspec.msgpack.Encoder().encode


def decoded(data: bytes) -> Snapshot:
    """A snapshot from the bytes that `encoded` made."""
    return _decode(data)


class Registry:
    """The metrics of `catalogue`, and their values in this process."""

    def __init__(self, catalogue: Mapping[str, Family]) -> None:
        self.catalogue = catalogue
        self._values: dict[str, dict[Labels, Value]] = {}
        self._histograms: dict[str, dict[Labels, Histogram]] = {}
        self._updates: list[Callable[[], None]] = []

    def value(self, name: str, *labels: str) -> Value:
        """One series of a counter or gauge, created with 0."""
        series = self._values.setdefault(name, {})
        return series.get(labels) or self._new(name, labels, series, Value)

    def histogram(self, name: str, *labels: str) -> Histogram:
        """One series of a histogram."""
        series = self._histograms.setdefault(name, {})
        bounds = self.catalogue[name].buckets
        return series.get(labels) or self._new(name, labels, series, lambda: Histogram(bounds))

    def drop(self, name: str) -> None:
        """Remove all series of a gauge whose values are no longer known."""
        self._values.pop(name, None)

    def before_snapshot(self, update: Callable[[], None]) -> None:
        """Call `update` before each snapshot, to set gauges. It must be quick and not wait."""
        self._updates.append(update)

    def snapshot(self) -> Snapshot:
        """All values now."""
        for update in self._updates:
            update()
        return {
            name: [(labels, one.data()) for labels, one in series.items()]
            for kept in (self._values, self._histograms)
            for name, series in kept.items()
        }

    def _new(self, name: str, labels: Labels, series: dict[Labels, T], make: Callable[[], T]) -> T:
        expected = self.catalogue[name].labels
        if len(labels) != len(expected):
            raise ValueError(f"{name} has the labels {expected}, not {len(labels)}")
        if len(series) >= MOST:
            labels = (OTHER,) * len(labels)
        return series.setdefault(labels, make())
