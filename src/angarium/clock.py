"""The one source of time. Everything that needs the time or waits for it is handed a Clock.

Two times, and which to use:
- `now` is the wall time in epoch seconds: for what is stored, signed, shown or compared with either. It
  follows the database's clock and can be set, forwards or backwards.
- `steady` only measures: for deadlines, throttles and caches in memory. It never jumps, and it goes on while
  the host sleeps, which CLOCK_MONOTONIC and the event loop's own time do not.

`datetime_at` gives the aware UTC datetime that the store takes.
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

FOLLOW_EVERY: Final = 10.0  # seconds between looks at the reference
LONGEST_NAP: Final = 5.0  # a wait looks at the time again after this, for timers stand still during sleep
TOLERANCE: Final = 0.2  # a difference that the way to the database and back may make
DOUBTFUL: Final = 300.0  # when the clocks of two hosts are so far apart, one of them is wrong
JUMP: Final = 1.0  # from here on a difference is no drift: someone set the clock, or the host was paused


class Clock(Protocol):
    """What Angarium needs of time."""

    def now(self) -> float:
        """Epoch seconds."""

    def steady(self) -> float:
        """Seconds since some moment in the past."""

    def apart(self) -> float:
        """Seconds by which `now` is ahead of this host's own clock; negative when it is behind."""

    async def wait(self, event: asyncio.Event, until: float) -> None:
        """Return when the event is set or it is `until` by `now`, and also when the clock was set."""


def datetime_at(at: float) -> datetime:
    """The aware UTC datetime of an epoch time."""
    return datetime.fromtimestamp(at, UTC)


def steady() -> float:
    """Seconds since the host was started, its sleep included. Where there is no such clock (macOS), the
    monotonic one, which includes sleep there."""
    return time.clock_gettime(_BOOTTIME)


_BOOTTIME: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


async def host_time() -> float:
    """The wall time of this host, for `SystemClock.follow` where the database runs on the same one."""
    return time.time()


class SystemClock:
    """A steady time with an offset, which `anchor` corrects.

    Processes that share a database are anchored to its time, so that hosts need not agree on theirs.
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
        """`listener(seconds)` is called after each jump: by how much the clock was set, or 0 after the host
        slept."""
        self._listeners.append(listener)

    def anchor(self, now: float, *, within: float = 0.0) -> None:
        """It is now `now`, epoch seconds, give or take `within`. Differences that small are left alone."""
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
        """Keep to the time that `reference` tells, until cancelled. While it cannot tell, go on alone."""
        while True:
            await asyncio.sleep(FOLLOW_EVERY)
            asked_at = steady()
            try:
                told = await reference()
            except StoreUnavailable:
                continue
            self.anchor(told, within=steady() - asked_at)

    async def wait(self, event: asyncio.Event, until: float) -> None:
        jumps = self._jumps
        while jumps == self._jumps and not event.is_set() and (delay := until - self.now()) > 0:
            try:
                async with asyncio.timeout(min(delay, LONGEST_NAP)):
                    await event.wait()
            except TimeoutError:
                continue
