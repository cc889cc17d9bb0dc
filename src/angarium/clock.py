"""Gives the time. All code that reads the time or waits for it gets a Clock.

There are two times:
- `now` is wall time in epoch seconds, for times that are stored, signed, shown or compared with such. It
  follows the database's clock and can jump, forward or back.
- `steady` measures durations, for deadlines, throttles and caches in memory. It never jumps, and it continues
  while the host sleeps, unlike CLOCK_MONOTONIC and the event loop's time.

`datetime_at` converts an epoch time to the aware UTC datetime that the store uses.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, Protocol

import structlog

from angarium.core.errors import StoreUnavailable

log = structlog.get_logger(__name__)

FOLLOW_EVERY: Final = 10.0  # seconds between readings of the reference
LONGEST_NAP: Final = 5.0  # a wait checks the time at least this often, because timers stop during sleep
TOLERANCE: Final = 0.2  # a difference that the round trip to the database may cause
DOUBTFUL: Final = 300.0  # if the clocks of two hosts are this far apart, one of them is wrong
JUMP: Final = 1.0  # a difference this large is not drift: the clock was set, or the host was paused


class Clock(Protocol):
    """A source of time."""

    def now(self) -> float:
        """Epoch seconds."""

    def steady(self) -> float:
        """Seconds since an arbitrary moment."""

    def apart(self) -> float:
        """Seconds by which `now` is ahead of this host's own clock; negative when it is behind."""

    async def wait(self, event: asyncio.Event, until: float) -> None:
        """Return when the event is set, when `now` reaches `until`, or when the clock was set."""


def datetime_at(at: float) -> datetime:
    """The aware UTC datetime of an epoch time."""
    return datetime.fromtimestamp(at, UTC)


def steady() -> float:
    """Seconds since the host booted, including sleep. Systems without CLOCK_BOOTTIME (macOS) use the
    monotonic clock, which includes sleep there."""
    return time.clock_gettime(_BOOTTIME)


_BOOTTIME: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


async def host_time() -> float:
    """The wall time of this host, for `SystemClock.follow` if the database runs on the same host."""
    return time.time()


class SystemClock:
    """The steady time plus an offset, which `anchor` corrects.

    Processes that share a database follow its time, so the clocks of their hosts need not agree.
    """

    def __init__(self) -> None:
        self._offset = time.time() - steady()
        self._asleep = steady() - time.monotonic()
        self._jumps = 0
        self._listeners: list[Callable[[float], None]] = []

    def now(self) -> float:
        return time.clock_gettime(_BOOTTIME) + self._offset

    def steady(self) -> float:
        return steady()

    def apart(self) -> float:
        return self.now() - time.time()

    def on_jump(self, listener: Callable[[float], None]) -> None:
        """Call `listener(seconds)` after each jump, with the seconds by which the clock was set, or 0
        after the host slept."""
        self._listeners.append(listener)

    def anchor(self, now: float, *, within: float = 0.0) -> None:
        """Set the time to `now` (epoch seconds), which is accurate to `within`. Smaller differences are
        ignored."""
        ahead = now - self.now()
        asleep = steady() - time.monotonic()
        slept, self._asleep = asleep - self._asleep, asleep
        if abs(ahead) <= max(TOLERANCE, within):
            ahead = 0.0
        self._offset += ahead
        if abs(ahead) < JUMP and slept < JUMP:
            return
        log.warning("clock.jumped", seconds=round(ahead, 3), slept=round(slept, 3))
        self._jumps += 1
        for listener in self._listeners:
            listener(ahead if abs(ahead) >= JUMP else 0.0)

    async def follow(self, reference: Callable[[], Awaitable[float]]) -> None:
        """Follow the time of `reference` until cancelled. While it is not available, no correction is
        made."""
        while True:
            await asyncio.sleep(FOLLOW_EVERY)
            started = steady()
            try:
                now = await reference()
            except StoreUnavailable:
                continue
            self.anchor(now, within=steady() - started)

    async def wait(self, event: asyncio.Event, until: float) -> None:
        jumps = self._jumps
        while jumps == self._jumps and not event.is_set() and (delay := until - self.now()) > 0:
            try:
                async with asyncio.timeout(min(delay, LONGEST_NAP)):
                    await event.wait()
            except TimeoutError:
                continue
