"""Writes the faults of this process, and the lanes that they hold, to the database.

Any process can serve the health route and the customer pages, so they read faults from the database. They are
written on change, at most once a second, and refreshed while they last. Without a fault nothing is written.
"""

from __future__ import annotations

import asyncio
from typing import Final
from uuid import UUID

import structlog

from angarium.clock import Clock
from angarium.core.errors import StoreUnavailable
from angarium.dispatch.outages import Outages
from angarium.store import our_fault as store
from angarium.store.database import Database
from angarium.store.fault import DatabaseFault
from angarium.store.our_fault import FaultRow, HeldLane

log = structlog.get_logger(__name__)

GATHER: Final = 1.0  # seconds between two writes
NOTE: Final = 10.0  # seconds after which a lasting fault is refreshed
SLICE: Final = 1000  # lanes in one statement
PATIENCE: Final = 2.0  # seconds for the last write of a process that stops


class FaultReport:
    """Keeps the rows of this process up to date."""

    def __init__(self, database: Database, clock: Clock, outages: Outages, process: str) -> None:
        self._database = database
        self._clock = clock
        self._outages = outages
        self._process = process
        self._never = asyncio.Event()
        self._faults: list[FaultRow] = []  # as last written
        self._lanes: dict[UUID, HeldLane] = {}
        self._noted_at = 0.0

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._outages.changed.wait()
            while self._outages or self._faults:
                try:
                    await self._write()
                except (StoreUnavailable, DatabaseFault) as error:
                    log.warning("fault.unreported", error=str(error))
                await self._clock.wait(self._never, self._clock.now() + GATHER)
            self._outages.changed.clear()

    async def stop(self) -> None:
        """Delete the rows: a process that stops holds no lanes."""
        if not self._faults:
            return
        try:
            async with asyncio.timeout(PATIENCE), self._database.connection() as connection:
                await store.note(connection, self._process, (), self._clock.now())
        except (StoreUnavailable, DatabaseFault, TimeoutError) as error:
            log.warning("fault.unreported", error=str(error))

    async def _write(self) -> None:
        faults, lanes = self._current()
        now, steady = self._clock.now(), self._clock.steady()
        gone = [endpoint_id for endpoint_id in self._lanes if endpoint_id not in lanes]
        queued = [lane for endpoint_id, lane in lanes.items() if self._lanes.get(endpoint_id) != lane]
        noted = faults == self._faults and steady - self._noted_at < NOTE
        if noted and not gone and not queued:
            return
        async with self._database.connection() as connection:
            for place in range(0, len(gone), SLICE):
                await store.release(connection, self._process, gone[place : place + SLICE])
            await store.note(connection, self._process, faults, now)
            for place in range(0, len(queued), SLICE):
                await store.hold(connection, self._process, queued[place : place + SLICE])
        self._faults, self._lanes, self._noted_at = faults, lanes, steady

    def _current(self) -> tuple[list[FaultRow], dict[UUID, HeldLane]]:
        rows: dict[str, FaultRow] = {}
        lanes: dict[UUID, HeldLane] = {}
        for fault in self._outages.faults:
            code = fault.kind.code
            before = rows.get(code, FaultRow(self._process, code, fault.since, 0))
            rows[code] = FaultRow(
                self._process, code, min(before.since, fault.since), before.lanes + len(fault.lanes)
            )
            for active, since in fault.lanes.items():
                lanes[active.endpoint_id] = HeldLane(active.endpoint_id, code, since)
        return list(rows.values()), lanes
