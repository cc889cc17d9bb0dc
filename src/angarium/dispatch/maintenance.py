"""Runs background tasks, creates partitions in advance, and deletes expired data.

Only the owner of the first shard does this, so that one process does. Data is deleted in slices, and
background tasks continue after each. A deletion that fails is retried the next time, and the others continue.

Nothing expires while the clocks of the database and of this host disagree: it is unknown which is wrong, and
what a clock that is far ahead deletes is lost. The same holds for a day after the clock was set forward by
more than an hour, because two clocks on the same host always agree.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from typing import Final

import structlog

from angarium.clock import DOUBTFUL, Clock, datetime_at
from angarium.core.errors import StoreReason, StoreUnavailable
from angarium.core.event import NO_EVENTS, Events
from angarium.core.nouns import DisabledReason
from angarium.dispatch.background_task import run_due_tasks
from angarium.store import background_task, listener, partition
from angarium.store.database import Database
from angarium.store.fault import DatabaseFault
from angarium.store.retention import LANES, QUEUE, RULES, SLICE, LaneRule, Position, Retention, Rule

log = structlog.get_logger(__name__)

EVERY: Final = 10.0  # seconds between looks for background tasks, in case a hint is lost
STEPS: Final = 20  # of background tasks at a time
DELETE_EVERY: Final = 60.0
LISTENERS: Final = 20  # disabled in one transaction
LEAP: Final = 3600.0  # seconds: a clock that is set forward by more may be wrong,
DOUBT: Final = 86400.0  # and is trusted after this many seconds
PARTITIONS: Final = 10  # dropped at a time
_OF_ONE_TABLE: Final = (StoreReason.LOCKED, StoreReason.TOO_SLOW, StoreReason.CONFLICT)


class Maintenance:
    """Works while `leads` returns true."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        leads: Callable[[], bool],
        retention: Retention,
        events: Events = NO_EVENTS,
    ) -> None:
        self._events = events
        self._database = database
        self._clock = clock
        self._leads = leads
        self._retention = retention
        self._asked = asyncio.Event()
        self._delete_at = 0.0
        self._walked: dict[str, datetime] = {}  # table -> up to which day its lanes were walked
        self._leapt_at: float | None = None  # by the steady time
        self._look_at = clock.now() + EVERY

    def look(self) -> None:
        """Look for background tasks now."""
        self._asked.set()

    def clock_jumped(self, by: float) -> None:
        """The clock was set by `by` seconds, or the host slept (0). Listeners get time to reconnect before
        one is disabled."""
        self._delete_at = self._clock.now() + DELETE_EVERY
        if by > LEAP:
            self._leapt_at = self._clock.steady()
        elif by < -LEAP:
            self._leapt_at = None  # it is correct again

    @property
    def doubts_clock(self) -> bool:
        """Whether the clock may be wrong, so that nothing may expire."""
        if abs(self._clock.apart()) > DOUBTFUL:
            return True
        return self._leapt_at is not None and self._clock.steady() - self._leapt_at < DOUBT

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            await self._clock.wait(self._asked, self._look_at)
            self._look_at = self._clock.now() + EVERY
            self._asked.clear()
            if not self._leads():
                continue
            try:
                await self._take_steps()
                await self._heed_rate()
                self._events.done("tasks")
                if self._clock.now() >= self._delete_at:
                    self._delete_at = self._clock.now() + DELETE_EVERY
                    await self.delete()
            except (StoreUnavailable, DatabaseFault) as error:
                log.warning("maintenance.failed", error=str(error))

    async def delete(self) -> None:
        """Create partitions in advance, and delete all expired data.

        Raises StoreUnavailable when the database is away.
        """
        complete = not self.doubts_clock
        for name, slices in self._work(datetime_at(self._clock.now())):
            try:
                while self._leads() and await slices():
                    await self._take_steps()
            except (StoreUnavailable, DatabaseFault) as error:
                if isinstance(error, StoreUnavailable) and error.reason not in _OF_ONE_TABLE:
                    raise
                log.warning("maintenance.failed", at=name, error=str(error))
                complete = False
            await self._take_steps()
        if complete and self._leads():
            self._events.done("retention")

    def _work(self, now: datetime) -> Iterator[tuple[str, Callable[[], Awaitable[bool]]]]:
        """The work, as functions that do a part of it and return whether there is more."""

        async def ahead() -> bool:
            longest = min(partition.RETENTION, self._retention.history)
            async with self._database.connection() as connection:
                await partition.ahead(connection, now, longest)
            self._events.done("partitions")
            return False

        async def drop() -> bool:
            async with self._database.connection() as connection:
                dropped = await partition.drop(connection, now, self._retention.history, PARTITIONS)
            return dropped == PARTITIONS

        async def disable_silent() -> bool:
            async with self._database.transaction() as connection:
                silent = await listener.disable_silent(connection, self._clock.now(), LISTENERS)
            for _ in range(silent):
                self._events.disabled(DisabledReason.UNHEARD)
            return silent == LISTENERS

        yield "partitions ahead", ahead
        if self.doubts_clock:
            log.error("retention.held", apart=round(self._clock.apart(), 1), now=now.isoformat())
            return
        yield "listener", disable_silent
        for rule in QUEUE:
            yield rule.table, self._slices(rule, now)
        for walked in LANES:
            yield walked.table, self._walk(walked, now)
        yield "partitions", drop
        for rule in RULES:
            yield rule.table, self._slices(rule, now)

    def _slices(self, rule: Rule, now: datetime) -> Callable[[], Awaitable[bool]]:
        async def slices() -> bool:
            async with self._database.connection() as connection:
                ended = await rule.end(connection, self._retention, now)
            if ended:
                log.debug("retention.deleted", table=rule.table, rows=ended)
            return ended == SLICE

        return slices

    def _walk(self, rule: LaneRule, now: datetime) -> Callable[[], Awaitable[bool]]:
        """Walk all lanes, once for each day of history that is about to be dropped."""
        day = partition.oldest_day(now, self._retention.history)
        position = Position()

        async def walk() -> bool:
            nonlocal position
            async with self._database.connection() as connection:
                if position == Position() and (
                    self._walked.get(rule.table) == day
                    or not await partition.history_ends(connection, now, self._retention.history)
                ):
                    return False
                ended, reached = await rule.end(connection, self._retention, now, position)
            if ended:
                log.debug("retention.deleted", table=rule.table, rows=ended)
            if reached is None:
                self._walked[rule.table] = day
                return False
            position = reached
            return True

        return walk

    async def _take_steps(self) -> None:
        if await run_due_tasks(self._database, self._clock, steps=STEPS) == STEPS:
            self._asked.set()

    async def _heed_rate(self) -> None:
        """Look again when a paced task may continue."""
        async with self._database.connection() as connection:
            due_at = await background_task.next_due(connection)
        if due_at is not None:
            # not immediately: another process may be running it
            self._look_at = min(self._look_at, max(due_at.timestamp(), self._clock.now() + 0.1))
