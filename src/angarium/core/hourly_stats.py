"""Counts attempts by endpoint and hour, and computes the points of charts.

Latency is counted in classes of duration, each about 1.4 times the previous one, so a percentile is accurate
to one class. Counts of different hours, endpoints and processes can be added.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import islice, pairwise
from typing import Final
from uuid import UUID

HOUR: Final = 3600
WHOLE: Final = UUID(int=0)
"""Instead of an endpoint: the whole application."""

BOUNDS: Final = tuple(sorted({round(2 ** (step / 2)) for step in range(33)}))
"""Longest duration of each class in milliseconds, 1 ms to 65 s. One more class is for the rest."""
CLASSES: Final = len(BOUNDS) + 1
NONE: Final = (0,) * CLASSES


class Span(StrEnum):
    """How far back a chart goes."""

    DAY = "24h"
    WEEK = "7d"
    MONTH = "28d"

    @property
    def hours(self) -> int:
        """Length of the span in hours."""
        return {Span.DAY: 24, Span.WEEK: 7 * 24, Span.MONTH: 28 * 24}[self]

    @property
    def step(self) -> int:
        """Hours covered by one point of the chart."""
        return {Span.DAY: 1, Span.WEEK: 6, Span.MONTH: 24}[self]

    def start(self, now: float) -> int:
        """Epoch seconds at which the chart begins. It ends with the current hour."""
        return (int(now) // HOUR + 1 - self.hours) * HOUR


@dataclass(frozen=True, slots=True)
class HourCount:
    """The attempts of one endpoint that ended in one hour."""

    app_id: UUID
    endpoint_id: UUID
    hour: int  # start of the hour, epoch seconds
    delivered: int
    failed: int
    latency: tuple[int, ...]  # attempts in each class of duration
    failed_at: float | None = None  # the last failure
    error_code: str | None = None

    def plus(self, other: HourCount) -> HourCount:
        """The sum of both, with the ids and hour of this one."""
        last = max(self, other, key=lambda one: one.failed_at or 0.0)
        return replace(
            self,
            delivered=self.delivered + other.delivered,
            failed=self.failed + other.failed,
            latency=added(self.latency, other.latency),
            failed_at=last.failed_at,
            error_code=last.error_code,
        )


class HourlyStats:
    """Counts attempts in memory until they are written: one count for each endpoint and hour."""

    def __init__(self) -> None:
        self._counts: dict[tuple[UUID, UUID, int], _Count] = {}  # in order of first attempt

    def __len__(self) -> int:
        return len(self._counts)

    def note(
        self, app_id: UUID, endpoint_id: UUID, ended_at: float, duration_ms: int, error_code: str | None
    ) -> None:
        """Count an attempt. Without an error code it was delivered."""
        key = (app_id, endpoint_id, int(ended_at) // HOUR * HOUR)
        count = self._counts.get(key)
        if count is None:
            count = self._counts[key] = _Count()
        count.latency[bisect_left(BOUNDS, duration_ms)] += 1
        if error_code is None:
            count.delivered += 1
        else:
            count.failed += 1
            count.failed_at, count.error_code = ended_at, error_code

    def take(self, most: int | None = None) -> list[HourCount]:
        """Remove and return the counts of at most `most` endpoints, oldest first, and the sums that they
        add to whole applications."""
        taken = []
        for key in list(islice(self._counts, most)):
            count = self._counts.pop(key)
            latency = tuple(count.latency)
            taken.append(
                HourCount(*key, count.delivered, count.failed, latency, count.failed_at, count.error_code)
            )
        whole: dict[tuple[UUID, int], HourCount] = {}
        for one in taken:
            of_all = replace(one, endpoint_id=WHOLE)
            before = whole.get((one.app_id, one.hour))
            whole[one.app_id, one.hour] = of_all if before is None else before.plus(of_all)
        return [*taken, *whole.values()]


class _Count:
    __slots__ = ("delivered", "error_code", "failed", "failed_at", "latency")

    def __init__(self) -> None:
        self.delivered = 0
        self.failed = 0
        self.latency = [0] * CLASSES
        self.failed_at: float | None = None
        self.error_code: str | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """The attempts of a period, as a point of a chart."""

    start: datetime
    seconds: int
    delivered: int
    failed: int
    p50_ms: float | None  # None: no attempt
    p95_ms: float | None

    @property
    def attempts(self) -> int:
        return self.delivered + self.failed

    @property
    def error_rate(self) -> float | None:
        """Fraction that failed, 0 to 1; None without attempts."""
        return self.failed / self.attempts if self.attempts else None


def point(start: datetime, seconds: int, counts: Iterable[HourCount]) -> Point:
    """The point for the sum of the counts."""
    delivered = failed = 0
    latency: Sequence[int] = NONE
    for one in counts:
        delivered += one.delivered
        failed += one.failed
        latency = added(latency, one.latency)
    return Point(start, seconds, delivered, failed, percentile(latency, 0.5), percentile(latency, 0.95))


def percentile(latency: Sequence[int], part: float) -> float | None:
    """The duration in milliseconds that `part` of the attempts did not exceed; None without attempts."""
    wanted = part * sum(latency)
    if not wanted:
        return None
    below = 0
    for number, (shortest, longest) in zip(latency, pairwise((0, *BOUNDS, BOUNDS[-1] * 2)), strict=True):
        if number and below + number >= wanted:
            return shortest + (longest - shortest) * (wanted - below) / number
        below += number
    raise AssertionError("a part is at most 1")


def added(one: Sequence[int], other: Sequence[int]) -> tuple[int, ...]:
    return tuple(map(int.__add__, one, other))
