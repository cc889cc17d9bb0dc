"""Limits requests in flight to one endpoint and, while it fails, starts a second.

The limit grows with each success and is halved by each failure of the endpoint as a whole (see
`FailureKind.slows`; a response such as 400 concerns one message and counts as a success here). It stays large
enough to start `LEAST_STARTS` attempts a second: an endpoint that hangs until the timeout keeps as many slots
as that needs, one that fails at once keeps one.

After `THRESHOLD` failures in a row the endpoint is failing. The number in flight no longer tells anything, so
the limits are fixed: `FAILING_IN_FLIGHT` at once and `FAILING_STARTS` a second. That starts every attempt of
the default schedule on time for 100 messages an hour that hang for 15 s, and for 10,000 an hour that are
refused at once (`tests/core/test_schedule_kept.py`, `python -m bench.lateness`). The first success ends it.
"""

from __future__ import annotations

import math
from typing import Final

from angarium.core.rate import RateWindow

FIRST: Final = 4  # in flight, for an endpoint without history
THRESHOLD: Final = 10
FAILING_IN_FLIGHT: Final = 16
FAILING_STARTS: Final = 40
LEAST_STARTS: Final = 1.0
MANUAL_EXTRA: Final = 4  # slots of a failing endpoint reserved for tests and manual attempts


class Allowance:
    """The allowance of one endpoint, at most `limit` requests at once. Times are epoch seconds."""

    __slots__ = ("_failures", "_in_flight", "_limit", "_starts", "_sure")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._in_flight = float(min(FIRST, limit))
        self._sure = float(limit)  # below this it grows fast
        self._failures = 0  # in a row
        self._starts: RateWindow | None = None  # while it is failing

    @property
    def failing(self) -> bool:
        """Whether the endpoint is failing."""
        return self._starts is not None

    def in_flight(self, *, manual: bool) -> int:
        """The limit of requests in flight for the next attempt."""
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
        """An attempt succeeded. A failing endpoint is trusted again at once."""
        self._failures = 0
        if self._starts is not None:
            self._starts = None
            self._in_flight = float(min(FAILING_IN_FLIGHT, self._limit))
            self._sure = float(self._limit)
        step = 1.0 if self._in_flight < self._sure else 1.0 / self._in_flight
        self._in_flight = min(float(self._limit), self._in_flight + step)

    def failed(self, took: float) -> None:
        """The endpoint as a whole failed. `took`: seconds since the attempt started."""
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
        """Change the maximum number of requests at once."""
        self._limit = limit
        self._in_flight = min(self._in_flight, float(limit))
        self._sure = float(limit)

    def clock_set(self, by: float) -> None:
        """The clock was set by `by` seconds."""
        if self._starts is not None:
            self._starts.clock_set(by)
