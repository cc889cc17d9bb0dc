"""Counts completed attempts and writes the counts every few seconds, apart from the completer.

With 10,000 busy endpoints in one process, each endpoint is written about every two minutes. The counts are
for charts: a crash may lose those of the last seconds, and a write that was not confirmed may count twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

import structlog

from angarium.clock import Clock
from angarium.core import ids
from angarium.core.errors import StoreUnavailable
from angarium.core.event import NO_EVENTS, Events
from angarium.core.hourly_stats import HourCount, HourlyStats
from angarium.store import hourly_stats as store
from angarium.store.complete import Completion
from angarium.store.database import Database
from angarium.store.fault import DatabaseFault

log = structlog.get_logger(__name__)

EVERY: Final = 5.0  # seconds
SLICE: Final = 1000  # counts written in one statement
MOST: Final = 500
"""Endpoints whose counts are written at a time. This limits counting to a hundred rows a second, however many
endpoints are busy."""


class StatsRecorder:
    """Counts the attempts that the dispatcher has completed."""

    def __init__(self, database: Database, clock: Clock, events: Events = NO_EVENTS) -> None:
        self._events = events
        self._database = database
        self._clock = clock
        self._hourly_stats = HourlyStats()
        self._unwritten: list[HourCount] = []
        self._never = asyncio.Event()

    def note(self, completions: Iterable[Completion]) -> None:
        """Count these attempts."""
        for one in completions:
            if one.answer is not None:
                duration = one.answer.duration_ms
                ended_at = ids.created_at(one.attempt_id) + duration / 1000
                error_code = None if one.succeeded else one.answer.error_code or "internal"
                self._hourly_stats.note(one.app_id, one.endpoint_id, ended_at, duration, error_code)

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._clock.wait(self._never, self._clock.now() + EVERY)
            await self.write(MOST)

    async def write(self, most: int | None = None) -> None:
        """Write the counts of at most `most` endpoints. If the database is away, they are kept for the next
        time."""
        if not self._unwritten:  # otherwise the database was away: write those first
            self._unwritten = self._hourly_stats.take(most)
        try:
            while self._unwritten:
                async with self._database.connection() as connection:
                    await store.add(connection, self._unwritten[:SLICE])
                del self._unwritten[:SLICE]
            self._events.done("statistics")
        except StoreUnavailable:
            log.warning("stats.waiting", counts=len(self._unwritten))
        except DatabaseFault as error:
            log.warning("stats.refused", counts=len(self._unwritten[:SLICE]), error=str(error))
            del self._unwritten[:SLICE]
