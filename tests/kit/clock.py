"""A clock that a test moves by hand."""

from __future__ import annotations

import asyncio


class ManualClock:
    """Virtual time: stands still until `advance_to`; a wait ends at its time or with its event."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self._now = now
        self.ahead = 0.0  # of the clock of this host
        self._moved = asyncio.Condition()
        self._waits: list[tuple[asyncio.Event, float]] = []

    def now(self) -> float:
        return self._now

    def steady(self) -> float:
        return self._now

    def apart(self) -> float:
        return self.ahead

    async def wait(self, event: asyncio.Event, until: float) -> None:
        if event.is_set() or until <= self._now:
            return
        waiting = asyncio.create_task(event.wait())
        moving = asyncio.create_task(self._reached(until))
        self._waits.append((event, until))
        try:
            await asyncio.wait([waiting, moving], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._waits.remove((event, until))
            for task in (waiting, moving):
                task.cancel()
            await asyncio.gather(waiting, moving, return_exceptions=True)

    def awaited(self, event: asyncio.Event) -> bool:
        """Whether a task waits for the event, or else for a time that has not come."""
        return any(one is event and until > self._now for one, until in self._waits)

    async def advance_to(self, at: float) -> None:
        """Set the time to `at`; tasks that waited for it continue."""
        assert at >= self._now, "time does not run backwards"
        async with self._moved:
            self._now = at
            self._moved.notify_all()

    async def _reached(self, until: float) -> None:
        async with self._moved:
            await self._moved.wait_for(lambda: until <= self._now)
