"""Upkeep: background tasks are taken further, and what has had its time is forgotten.

Any process could do it; the owner of the first shard does, so that one does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from angarium.clock import Clock, datetime_at
from angarium.core.errors import StoreUnavailable
from angarium.store import background_task, idempotency, listener, partition, play, tally
from angarium.store.database import Database
from angarium.store.fault import DatabaseFault
from angarium.store.replay import run_due_tasks

log = structlog.get_logger(__name__)

EVERY: Final = 10.0  # seconds between looks for background tasks nobody told of
STEPS: Final = 20  # of background tasks, before anything else gets its turn
FORGET_EVERY: Final = 60.0
TALLY_KEPT: Final = 90 * 86400.0  # seconds for which counts of attempts are kept
LISTENERS: Final = 20  # given up in one transaction
SLICE: Final = 5000  # rows forgotten in one transaction


class Upkeep:
    """Runs while `leads` says that it is ours to do."""

    def __init__(self, database: Database, clock: Clock, leads: Callable[[], bool]) -> None:
        self._database = database
        self._clock = clock
        self._leads = leads
        self._asked = asyncio.Event()
        self._forget_at = 0.0
        self._look_at = clock.now() + EVERY

    def look(self) -> None:
        """There is a background task: do not wait for the next look."""
        self._asked.set()

    def clock_jumped(self) -> None:
        """The clock was set, or the host slept: listeners get time to be heard before one is given up."""
        self._forget_at = self._clock.now() + FORGET_EVERY

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._clock.wait(self._asked, self._look_at)
            self._look_at = self._clock.now() + EVERY
            self._asked.clear()
            if not self._leads():
                continue
            try:
                if await run_due_tasks(self._database, self._clock, steps=STEPS) == STEPS:
                    self._asked.set()
                await self._heed_pace()
                if self._clock.now() >= self._forget_at:
                    await self._forget()
                    self._forget_at = self._clock.now() + FORGET_EVERY
            except (StoreUnavailable, DatabaseFault) as error:
                log.warning("upkeep.failed", error=str(error))

    async def _heed_pace(self) -> None:
        """Look again when a task that keeps a pace may go on."""
        async with self._database.connection() as connection:
            due_at = await background_task.next_due(connection)
        if due_at is not None:
            # not at once again: another process may be at it
            self._look_at = min(self._look_at, max(due_at.timestamp(), self._clock.now() + 0.1))

    async def _forget(self) -> None:
        at = self._clock.now()
        now = datetime_at(at)
        async with self._database.connection() as connection:
            await partition.ahead(connection, now, partition.RETENTION)
            await partition.drop(connection, now, partition.HISTORY)
            await play.forget(connection, self._clock.now(), SLICE)
            await idempotency.prune(connection, now, SLICE)
            await tally.forget(connection, datetime_at(at - TALLY_KEPT), SLICE)
        async with self._database.transaction() as connection:
            await listener.give_up(connection, self._clock.now(), LISTENERS)
