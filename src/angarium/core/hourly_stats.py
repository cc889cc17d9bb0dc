"""Attempts counted by endpoint and hour, and what charts make of the counts.

Latency is counted in classes of duration, each about 1.4 times as long as the one before, so a percentile
read back is right to within a class. Counts of any two hours, endpoints or processes can be added.
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
"""In place of an endpoint: all of an application together."""

BOUNDS: Final = tuple(sorted({round(2 ** (step / 2)) for step in range(33)}))
"""The longest duration of each class in milliseconds, 1 ms to 65 s; one class more is for the rest."""
CLASSES: Final = len(BOUNDS) + 1
NONE: Final = (0,) * CLASSES


class Span(StrEnum):
    """How far back a chart goes."""

    DAY = "24h"
    WEEK = "7d"
    MONTH = "28d"

    @property
    def hours(self) -> int:
        """Of the whole span."""
        return {Span.DAY: 24, Span.WEEK: 7 * 24, Span.MONTH: 28 * 24}[self]

    @property
    def step(self) -> int:
        """Hours that a point of the chart stands for."""
        return {Span.DAY: 1, Span.WEEK: 6, Span.MONTH: 24}[self]

    def start(self, now: float) -> int:
        """Epoch seconds at which the chart begins; it ends with the hour that has begun."""
        return (int(now) // HOUR + 1 - self.hours) * HOUR


@dataclass(frozen=True, slots=True)
class HourCount:
    """The attempts of one endpoint that ended in one hour."""

    app_id: UUID
    endpoint_id: UUID
    hour: int  # its beginning, epoch seconds
    delivered: int
    failed: int
    latency: tuple[int, ...]  # attempts in each class of duration
    failed_at: float | None = None  # the last failure
    error_code: str | None = None

    def plus(self, other: HourCount) -> HourCount:
        """Both together, under this one's name."""
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
    """Counts attempts in memory until they are taken to be written. Holds one count for each endpoint and
    hour that was noted since, so it is as bounded as what is written."""

    def __init__(self) -> None:
        self._counts: dict[tuple[UUID, UUID, int], _Count] = {}  # the one noted first is the first

    def __len__(self) -> int:
        return len(self._counts)

    def note(
        self, app_id: UUID, endpoint_id: UUID, ended_at: float, duration_ms: int, error_code: str | None
    ) -> None:
        """One attempt; without an error code it was delivered."""
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
        """The counts (at most so many of endpoints, those noted first), and what they add to the counts of
        whole applications; counting begins anew for them."""
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
    """The attempts of some time, as a chart shows them."""

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
        """The part that failed, 0 to 1; None without an attempt."""
        return self.failed / self.attempts if self.attempts else None


def point(start: datetime, seconds: int, counts: Iterable[HourCount]) -> Point:
    """The counts together."""
    delivered = failed = 0
    latency: Sequence[int] = NONE
    for one in counts:
        delivered += one.delivered
        failed += one.failed
        latency = added(latency, one.latency)
    return Point(start, seconds, delivered, failed, percentile(latency, 0.5), percentile(latency, 0.95))


def percentile(latency: Sequence[int], part: float) -> float | None:
    """The duration in milliseconds that `part` of the attempts did not exceed; None without an attempt."""
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
