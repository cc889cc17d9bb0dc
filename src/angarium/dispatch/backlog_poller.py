"""Polls the database for lanes of this process with pending deliveries, periodically and on request.

It also cancels queued deliveries of inactive endpoints: disabling an endpoint cancels its deliveries, but a
message that is being accepted at that moment may be committed later.

If the clock was set back, it corrects the stored times first. Only the owner of a shard writes the times of
retries, by its own clock. (Accepted: a process that accepts messages may notice the change up to
`FOLLOW_EVERY` later. What it stores until then is late by as much as the clock was wrong.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Final
from uuid import UUID

import structlog

from angarium.clock import Clock, datetime_at
from angarium.core.errors import StoreUnavailable
from angarium.store import load as store
from angarium.store.cancel import cancel_stranded
from angarium.store.database import Database
from angarium.store.fault import DatabaseFault
from angarium.store.load import LaneRef

log = structlog.get_logger(__name__)

EVERY: Final = 15.0  # seconds between looks, or more:
SHARE: Final = 0.01  # of the time for looks, which get slow under an old snapshot
LONGEST: Final = 300.0
SOONEST: Final = 60.0  # seconds ahead for which a look opens lanes, or more
SLICE: Final = 1000  # deliveries canceled in one transaction


def pause(took: float) -> float:
    """Seconds to wait after a look that took `took` seconds."""
    return min(max(EVERY, took / SHARE), LONGEST)


def horizon(took: float) -> float:
    """How far ahead, in seconds, a look that took `took` seconds opens lanes. The next look must find the
    others in time, even if it takes twice as long."""
    return max(SOONEST, pause(took) + 4 * took)


class BacklogPoller:
    """Finds pending deliveries even if a hint is lost."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        owned: Callable[[], Collection[int]],
        seen: Callable[[list[LaneRef], float], Awaitable[None]],
        inactive: Callable[[], list[tuple[UUID, UUID]]],
    ) -> None:
        """`seen` gets the lanes with pending deliveries, and how many seconds ahead they matter. `inactive`
        returns lanes that had deliveries although their endpoints are inactive."""
        self._database = database
        self._clock = clock
        self._owned = owned
        self._seen = seen
        self._inactive = inactive
        self._asked = asyncio.Event()
        self._back = 0.0  # seconds by which the clock was set back since the stored times were corrected

    def look(self) -> None:
        """Look now."""
        self._asked.set()

    def clock_set(self, by: float) -> None:
        """The clock was set by `by` seconds."""
        self._back = max(0.0, self._back - by)
        self._asked.set()

    async def run(self) -> None:
        """Look until cancelled."""
        took = 0.0
        while True:
            await self._clock.wait(self._asked, self._clock.now() + pause(took))
            self._asked.clear()
            shards = list(self._owned())
            if not shards:
                continue
            try:
                async with self._database.connection() as connection:
                    if self._back:
                        now = self._clock.now()
                        await store.set_back(connection, shards, now + self._back, now)
                        self._back = 0.0
                    begun = self._clock.steady()
                    lanes = await store.lanes_of(connection, shards)
                    took = self._clock.steady() - begun
                await self._seen(lanes, horizon(took))
                await self._cancel_stranded()
            except (StoreUnavailable, DatabaseFault) as error:
                log.warning("poll.failed", error=str(error))
                self._asked.set()
                await asyncio.sleep(0.5)

    async def _cancel_stranded(self) -> None:
        now = datetime_at(self._clock.now())
        for app_id, endpoint_id in self._inactive():
            canceled = SLICE
            while canceled >= SLICE:
                async with self._database.transaction() as connection:
                    canceled = await cancel_stranded(connection, app_id, endpoint_id, now, SLICE)
