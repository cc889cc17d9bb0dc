"""Coordinates the stop of a process: when it began, until when requests are accepted, and when it must end.

The first signal begins the stop. Requests are accepted for a delay, in which load balancers notice that the
process is not ready; everything else ends at once. A second signal ends the delay and leaves `HURRY` seconds.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

HURRY: Final = 5.0  # seconds from the second signal to the end
TIMEOUT: Final = 90.0


class Shutdown:
    """The stop of one process. `timeout`: seconds from its begin to its end. `delay`: seconds for which
    requests are accepted."""

    def __init__(self, timeout: float = TIMEOUT, delay: float = 0.0) -> None:
        self.begun = asyncio.Event()
        self.closing = asyncio.Event()  # no more requests are accepted
        self.hurried = asyncio.Event()
        self._timeout = timeout
        self._delay = delay
        self._ends_at = math.inf
        self._limits: dict[asyncio.Timeout, float] = {}  # each with its reserve

    @property
    def left(self) -> float:
        """Seconds until the end; infinite before the begin."""
        return max(0.0, self._ends_at - asyncio.get_running_loop().time())

    def signal(self) -> None:
        """Begin; hurry if it has begun."""
        if self.begun.is_set():
            self.hurry()
        else:
            self.begin()

    def begin(self) -> None:
        """Begin, once."""
        if not self.begun.is_set():
            self.begun.set()
            self._end_within(self._timeout)

    def hurry(self) -> None:
        """Begin if it has not begun, without a delay, and end soon."""
        self.begin()
        self.hurried.set()
        self._end_within(HURRY)

    async def delayed(self) -> None:
        """Return when no more requests are to be accepted."""
        await self.begun.wait()
        try:
            async with asyncio.timeout(self._delay):
                await self.hurried.wait()
        except TimeoutError:
            pass
        self.closing.set()

    @asynccontextmanager
    async def within(self, seconds: float, *, reserve: float = 0.0) -> AsyncIterator[None]:
        """A block that may take `seconds`, or less if the end is near: `reserve` seconds are left for what
        follows. Raises TimeoutError."""
        now = asyncio.get_running_loop().time()
        until = min(now + seconds, max(now, self._ends_at - reserve))
        async with asyncio.timeout_at(until) as limit:
            self._limits[limit] = reserve
            try:
                yield
            finally:
                del self._limits[limit]

    def _end_within(self, seconds: float) -> None:
        now = asyncio.get_running_loop().time()
        self._ends_at = min(self._ends_at, now + seconds)
        for limit, reserve in self._limits.items():
            until = max(now, self._ends_at - reserve)
            if not limit.expired() and (before := limit.when()) is not None and before > until:
                limit.reschedule(until)
