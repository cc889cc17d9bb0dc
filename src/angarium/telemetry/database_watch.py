"""Refreshes the gauges of the database every few seconds, so that a scrape never runs a statement.

Every process tells whether the database accepts writes, and how many shards have no owner: one that does the
maintenance could not tell that there is none. The owner of the first shard tells the rest. What could not be
read within a second is removed, because an old value would look like a current one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from angarium.clock import Clock, datetime_at
from angarium.core.errors import StoreUnavailable
from angarium.core.event import Events
from angarium.core.keyring import Keyring
from angarium.core.quota import Reached
from angarium.store import gauge
from angarium.store.connection import Connection
from angarium.store.database import Database
from angarium.store.fault import DatabaseFault
from angarium.telemetry.logs import logger
from angarium.telemetry.registry import Registry

log = logger("telemetry")

EVERY: Final = 15.0  # seconds
PATIENCE: Final = 5.0  # seconds for one look, also to get a connection

Look = Callable[[Connection], Awaitable[None]]


class DatabaseWatch:
    """Sets gauges while it runs. `leads`: whether this process tells what one process must tell."""

    def __init__(
        self,
        registry: Registry,
        events: Events,
        database: Database,
        clock: Clock,
        leads: Callable[[], bool],
        history: timedelta,
        keyring: Keyring,
    ) -> None:
        self._registry = registry
        self._events = events
        self._database = database
        self._clock = clock
        self._leads = leads
        self._history = history
        self._keyring = keyring
        self._looks: dict[tuple[str, ...], Look] = {
            ("oldest_due_seconds",): self._oldest,
            ("deliveries", "deliveries_complete", "fan_out_messages"): self._queue,
            ("tasks_running", "task_oldest_seconds"): self._tasks,
            ("endpoints",): self._endpoints,
            ("quota_reached_applications",): self._quotas,
            ("old_key_values",): self._old_keys,
            ("partitions", "partition_ahead_seconds", "retention_lag_seconds"): self._days,
            ("database_bytes", "database_xid_age"): self._server,
        }

    async def run(self) -> None:
        """Refresh until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(EVERY)

    async def refresh(self) -> None:
        """Read everything once."""
        value = self._registry.value
        value("clock_offset_seconds").set(abs(self._clock.apart()))
        writable = False
        try:
            async with asyncio.timeout(PATIENCE):
                writable = await self._database.writable()
        except (StoreUnavailable, DatabaseFault, TimeoutError):
            pass  # counted by the pool
        value("db_writable").set(writable)
        complete = await self._look(("shards_unowned",), self._unowned)
        leads = self._leads()
        for names, look in self._looks.items():
            if leads:
                complete = await self._look(names, look) and complete
            else:
                self._drop(names)
        if leads and complete:
            self._events.done("gauges")

    async def _look(self, names: tuple[str, ...], look: Look) -> bool:
        try:
            async with asyncio.timeout(PATIENCE), gauge.brief(self._database) as connection:
                await look(connection)
        except (StoreUnavailable, DatabaseFault, TimeoutError) as error:
            log.debug("gauge.unknown", gauges=names, error=str(error))
            self._drop(names)
            return False
        return True

    def _drop(self, names: tuple[str, ...]) -> None:
        for name in names:
            self._registry.drop(name)

    async def _unowned(self, connection: Connection) -> None:
        self._registry.value("shards_unowned").set(await gauge.unowned(connection))

    async def _oldest(self, connection: Connection) -> None:
        found = await gauge.oldest_due(connection, self._clock.now())
        for held, label in ((False, "no"), (True, "yes")):
            self._registry.value("oldest_due_seconds", label).set(found.get(held, 0.0))

    async def _queue(self, connection: Connection) -> None:
        found, value = await gauge.queue(connection, self._clock.now()), self._registry.value
        value("deliveries", "due").set(found.due)
        value("deliveries", "scheduled").set(found.scheduled)
        value("deliveries", "waiting").set(found.waiting)
        value("deliveries_complete").set(found.complete)
        value("fan_out_messages").set(found.fan_out)

    async def _tasks(self, connection: Connection) -> None:
        running, oldest = await gauge.tasks(connection, self._clock.now())
        self._registry.value("tasks_running").set(running)
        self._registry.value("task_oldest_seconds").set(oldest)

    async def _endpoints(self, connection: Connection) -> None:
        for state, count in (await gauge.endpoints(connection)).items():
            self._registry.value("endpoints", state).set(count)

    async def _old_keys(self, connection: Connection) -> None:
        """Reads all endpoints, so only during a rotation."""
        ring = self._keyring
        found = await gauge.old_keys(connection, ring.current) if ring.rotating else {}
        for kind in ("endpoint", "response"):
            self._registry.value("old_key_values", kind).set(found.get(kind, 0))

    async def _quotas(self, connection: Connection) -> None:
        found = await gauge.quotas(connection, datetime_at(self._clock.now()))
        for one in Reached:
            level = "hard" if one.hard else "soft"
            self._registry.value("quota_reached_applications", one.noun, level).set(found.get(one.value, 0))

    async def _days(self, connection: Connection) -> None:
        found = await gauge.days(connection, datetime_at(self._clock.now()), self._history)
        for table, days in found.items():
            self._registry.value("partitions", table).set(days.partitions)
            self._registry.value("partition_ahead_seconds", table).set(days.ahead)
            self._registry.value("retention_lag_seconds", table).set(days.lag)

    async def _server(self, connection: Connection) -> None:
        size, age = await gauge.server(connection)
        self._registry.value("database_bytes").set(size)
        self._registry.value("database_xid_age").set(age)
