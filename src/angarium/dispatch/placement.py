"""Gives deliveries of first-in-first-out lanes a position in the order of acceptance.

A delivery has no position if its message is accepted while its endpoint becomes first-in-first-out
(store/place.py). The code that hands it over, hints at it or finds it in the database marks the lane, and the
lane waits until it has one. Then the lane loads again, because that delivery comes first.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from angarium.clock import Clock
from angarium.core import ids
from angarium.core.errors import StoreUnavailable
from angarium.dispatch.active_lane import ActiveLane, Placing
from angarium.dispatch.lane_registry import LaneRegistry
from angarium.store import place as store
from angarium.store.database import Database
from angarium.store.fault import DatabaseFault

log = structlog.get_logger(__name__)

_PAUSE: Final = 0.5  # seconds after a fault


class Placement:
    """Processes one lane at a time, because they are few."""

    def __init__(self, database: Database, clock: Clock, registry: LaneRegistry) -> None:
        self._database = database
        self._clock = clock
        self._registry = registry
        self._wanted: set[ActiveLane] = set()
        self._wake = asyncio.Event()
        self._never = asyncio.Event()

    def want(self, active: ActiveLane) -> None:
        """Place the deliveries of a lane. It gets a turn afterwards."""
        if active.placing is Placing.WANTED:
            self._wanted.add(active)
            self._wake.set()

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._wanted:
                await self._place(self._wanted.pop())

    async def _place(self, active: ActiveLane) -> None:
        if active.closed or active.placing is not Placing.WANTED:
            return
        active.placing = Placing.UNDER_WAY
        try:
            async with self._database.transaction() as connection:
                placed = await store.place(connection, active.app_id, active.endpoint_id)
        except Exception as error:
            # on any error: the lane waits for it
            known = isinstance(error, StoreUnavailable | DatabaseFault)
            endpoint = ids.text(ids.ENDPOINT, active.endpoint_id)
            log.warning("placement.failed", endpoint=endpoint, error=str(error), exc_info=not known)
            active.lane.reorder()  # it may have been committed nevertheless
            await self._clock.wait(self._never, self._clock.now() + _PAUSE)
            active.placing = Placing.WANTED
        else:
            # a delivery committed without a position meanwhile has marked it again
            if active.placing is Placing.UNDER_WAY:
                active.placing = Placing.DONE
            if placed:
                active.lane.reorder()
        self._registry.mark(active)
