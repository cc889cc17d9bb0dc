"""The one source of time. Everything that needs the time or waits for it is handed a Clock.

Times are epoch seconds as floats; `datetime_at` gives the aware UTC datetime that the store takes.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What Angarium needs of time."""

    def now(self) -> float:
        """Epoch seconds; never runs backwards."""

    async def wait(self, event: asyncio.Event, until: float) -> None:
        """Return when the event is set or the time `until` has come, whichever is first."""


def datetime_at(at: float) -> datetime:
    """The aware UTC datetime of an epoch time."""
    return datetime.fromtimestamp(at, UTC)


class SystemClock:
    """A time anchored once and carried on by the monotonic clock.

    A host whose wall clock jumps (NTP, an operator, a paused machine) neither rushes nor delays a schedule.
    Processes that share a database are anchored to its time, so that hosts need not agree on theirs.
    """

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def anchor(self, now: float) -> None:
        """It is now `now`, epoch seconds. To be called before anything else asks for the time."""
        self._offset = now - time.monotonic()

    def now(self) -> float:
        return time.monotonic() + self._offset

    async def wait(self, event: asyncio.Event, until: float) -> None:
        delay = until - self.now()
        if delay <= 0 or event.is_set():
            return
        try:
            async with asyncio.timeout(delay):
                await event.wait()
        except TimeoutError:
            return
