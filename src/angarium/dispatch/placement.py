"""Placement: a first-in-first-out lane has its deliveries placed before it takes anything more.

A delivery without a place comes about when its message is accepted at the moment at which its endpoint
becomes first-in-first-out (store/place.py). Whoever hands it over, tells of it or finds it in the table marks
the lane, and it waits until it is placed. Then it loads anew, for what was placed comes first.
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
    """One lane at a time: they are few."""

    def __init__(self, database: Database, clock: Clock, registry: LaneRegistry) -> None:
        self._database = database
        self._clock = clock
        self._registry = registry
        self._wanted: set[ActiveLane] = set()
        self._wake = asyncio.Event()
        self._never = asyncio.Event()

    def want(self, active: ActiveLane) -> None:
        """Have the deliveries of a lane placed; it gets a turn when they are."""
        if active.placing is Placing.WANTED:
            self._wanted.add(active)
            self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
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
            # whatever it is, the lane waits for it
            known = isinstance(error, StoreUnavailable | DatabaseFault)
            endpoint = ids.text(ids.ENDPOINT, active.endpoint_id)
            log.warning("placement.failed", endpoint=endpoint, error=str(error), exc_info=not known)
            active.lane.reorder()  # it may have been committed all the same
            await self._clock.wait(self._never, self._clock.now() + _PAUSE)
            active.placing = Placing.WANTED
        else:
            # what was committed without a place meanwhile has marked it again
            if active.placing is Placing.UNDER_WAY:
                active.placing = Placing.DONE
            if placed:
                active.lane.reorder()
        self._registry.mark(active)
