"""How much an endpoint may be sent at once, and while it fails, how many starts a second.

The number in flight grows with each success and is halved by each failure of the endpoint as a whole (see
`FailureKind.slows`; an answer such as 400 concerns one message and counts as a success here). It never
shrinks so far that less than `LEAST_STARTS` attempts a second could start: what hangs for its whole timeout
gets as many slots as that takes, what fails at once gets one.

After `THRESHOLD` failures in a row the endpoint is failing. Then nothing can be learned from the number in
flight, and the allowance is fixed: `FAILING_IN_FLIGHT` at once and `FAILING_STARTS` a second. That is enough
to start every attempt of the default schedule on time for 100 messages an hour that hang for 15 s, and for
10,000 an hour that are refused at once (`tests/core/test_schedule_kept.py`, `python -m bench.lateness`). The
first success ends it.
"""

from __future__ import annotations

import math
from typing import Final

from angarium.core.rate import RateWindow

FIRST: Final = 4  # in flight, of an endpoint of which nothing is known
THRESHOLD: Final = 10
FAILING_IN_FLIGHT: Final = 16
FAILING_STARTS: Final = 40
LEAST_STARTS: Final = 1.0
MANUAL_EXTRA: Final = 4  # slots of a failing endpoint that only tests and manual attempts use


class Allowance:
    """Of one endpoint, within `limit` requests at once. Times are epoch seconds, durations seconds."""

    __slots__ = ("_failures", "_in_flight", "_limit", "_starts", "_sure")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._in_flight = float(min(FIRST, limit))
        self._sure = float(limit)  # up to here it grows fast
        self._failures = 0  # in a row
        self._starts: RateWindow | None = None  # while it is failing

    @property
    def failing(self) -> bool:
        """Whether the endpoint fails every time."""
        return self._starts is not None

    def in_flight(self, *, manual: bool) -> int:
        """How many requests may be under way when another one starts."""
        if self._starts is None:
            return int(self._in_flight)
        return min(self._limit, FAILING_IN_FLIGHT + MANUAL_EXTRA if manual else FAILING_IN_FLIGHT)

    def free_at(self) -> float:
        """The earliest time at which another attempt may start."""
        return 0.0 if self._starts is None else self._starts.free_at()

    def started(self, now: float) -> None:
        """An attempt starts."""
        if self._starts is not None:
            self._starts.note(now)

    def succeeded(self) -> None:
        """The endpoint answered as it should; one that was failing is trusted again at once."""
        self._failures = 0
        if self._starts is not None:
            self._starts = None
            self._in_flight = float(min(FAILING_IN_FLIGHT, self._limit))
            self._sure = float(self._limit)
        step = 1.0 if self._in_flight < self._sure else 1.0 / self._in_flight
        self._in_flight = min(float(self._limit), self._in_flight + step)

    def failed(self, took: float) -> None:
        """The endpoint as a whole failed; `took`: seconds from the start of the attempt."""
        self._failures += 1
        if self._failures >= THRESHOLD:
            self.fail()
        least = min(FAILING_IN_FLIGHT, math.ceil(took * LEAST_STARTS))
        self._in_flight = min(float(self._limit), max(1.0, self._in_flight / 2, float(least)))
        self._sure = self._in_flight

    def fail(self) -> None:
        """The endpoint is failing."""
        if self._starts is None:
            self._starts = RateWindow(FAILING_STARTS)

    def limited(self, limit: int) -> None:
        """The endpoint may get so many requests at once from now on."""
        self._limit = limit
        self._in_flight = min(self._in_flight, float(limit))
        self._sure = float(limit)

    def clock_set(self, by: float) -> None:
        """The clock was set by so many seconds."""
        if self._starts is not None:
            self._starts.clock_set(by)
