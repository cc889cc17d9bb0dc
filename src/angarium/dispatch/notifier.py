"""Sends hints to other processes about new deliveries in lanes that they own, in batches.

A lost hint costs time, never a delivery: owners also poll the database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final
from uuid import UUID

import structlog

from angarium.batcher import Batcher, Bound, Gather, Unwritten
from angarium.core.errors import StoreUnavailable
from angarium.store.accept import NewDelivery
from angarium.store.database import Database
from angarium.store.fault import DatabaseFault
from angarium.store.hint import EVERYTHING, FAN_OUT, LaneWork, accepted, send

log = structlog.get_logger(__name__)

CAPACITY: Final = 5000  # lanes; so many at once become one hint to look at all lanes
GATHER: Final = 0.003  # seconds for which more lanes may join a batch

_Lane = tuple[UUID, UUID]  # application id and endpoint id


class Notifier:
    """Collects lanes and sends hints."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # lane -> id of its first new message, and the first position in the order of acceptance
        self._first: dict[_Lane, tuple[UUID, int]] = {}
        self._others: set[str] = set()  # hints that name no lane
        self._batcher: Batcher[_Lane | None, None] = Batcher(  # None: for one of those
            self._tell,
            lambda _told, _nothing: None,
            self._lost,
            most=Bound(CAPACITY),
            capacity=Bound(CAPACITY),
            gather=Gather(GATHER, came=1),
        )
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._batcher.run(), name="notifier")

    async def stop(self) -> None:
        """Send the remaining hints, then stop."""
        if self._task is not None:
            self._batcher.close()
            await self._task

    def tell(self, new_deliveries: Iterable[NewDelivery]) -> None:
        """Hint at the lanes of accepted deliveries."""
        for one in new_deliveries:
            lane = (one.app_id, one.endpoint_id)
            first = self._first.get(lane)
            if first is not None:
                self._first[lane] = min(first[0], one.message_id), min(first[1], one.seq)
            elif self._batcher.put(lane):
                self._first[lane] = one.message_id, one.seq

    def fan_out(self) -> None:
        """A message was accepted whose deliveries another process must write."""
        self._add(FAN_OUT)

    def everywhere(self) -> None:
        """Any lane may have work of which its owner does not know."""
        self._add(EVERYTHING)

    def _add(self, hint: str) -> None:
        if hint not in self._others:
            self._others.add(hint)
            self._batcher.put(None)

    async def _tell(self, lanes: list[_Lane | None]) -> None:
        hints = accepted(LaneWork(*lane, *self._first.pop(lane)) for lane in lanes if lane is not None)
        hints += self._others
        self._others = set()
        if hints:
            async with self._database.connection() as connection:
                await send(connection, hints, alone=True)

    async def _lost(self, unwritten: Unwritten[_Lane | None]) -> Sequence[list[_Lane | None]]:
        error = unwritten.error
        known = isinstance(error, StoreUnavailable | DatabaseFault)
        log.warning(
            "hint.lost", lanes=len(unwritten.batch), error=str(error), exc_info=None if known else error
        )
        return []
