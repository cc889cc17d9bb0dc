"""Counts completed attempts and writes the counts every few seconds, apart from the completer: with 10,000
busy endpoints in one process, each of them about every two minutes.

A crash may lose the counts of the last seconds; a write that was not confirmed may count twice. They are
for charts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

import structlog

from angarium.clock import Clock
from angarium.core import ids
from angarium.core.errors import StoreUnavailable
from angarium.core.hourly_stats import HourCount, HourlyStats
from angarium.store import hourly_stats as store
from angarium.store.complete import Completion
from angarium.store.database import Database
from angarium.store.fault import DatabaseFault

log = structlog.get_logger(__name__)

EVERY: Final = 5.0  # seconds
SLICE: Final = 1000  # counts written in one statement
MOST: Final = 500
"""Endpoints whose counts are written at a time. Where very many are busy each waits longer, so that counting
never costs more than a hundred rows a second."""


class StatsRecorder:
    """Counts what the dispatcher has completed."""

    def __init__(self, database: Database, clock: Clock) -> None:
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
        """Write what was counted, of at most so many endpoints; what the database does not take is kept for
        the next time."""
        if not self._unwritten:  # else the database was away: nothing is taken out before it is back
            self._unwritten = self._hourly_stats.take(most)
        try:
            while self._unwritten:
                async with self._database.connection() as connection:
                    await store.add(connection, self._unwritten[:SLICE])
                del self._unwritten[:SLICE]
        except StoreUnavailable:
            log.warning("stats.waiting", counts=len(self._unwritten))
        except DatabaseFault as error:
            log.warning("stats.refused", counts=len(self._unwritten[:SLICE]), error=str(error))
            del self._unwritten[:SLICE]
