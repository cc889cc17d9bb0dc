"""Loads deliveries and configurations for many lanes in one query (see angarium/batcher.py).

If a query fails although the database is available, each lane is queried separately, so that one lane's rows
do not block the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog

from angarium.batcher import Batcher, Bound, Gather, Unwritten
from angarium.clock import Clock, datetime_at
from angarium.core.errors import StoreUnavailable
from angarium.dispatch.load_handler import LoadHandler
from angarium.store import load as store
from angarium.store.database import Database
from angarium.store.fault import DatabaseFault, StatementFailed

log = structlog.get_logger(__name__)

MAX_LANES: Final = 200
MAX_ROWS: Final = 2000  # a query returns at most about this many payloads
GATHER: Final = 0.005  # seconds for which more requests may join a batch
_PAUSE: Final = 0.5


@dataclass(slots=True)
class _Load:
    """A request for deliveries of a lane. `wanted` may change while this waits."""

    wanted: store.Wanted


_Lane = tuple[UUID, UUID]  # application id and endpoint id
_Wish = _Lane | _Load  # a request for a configuration, or for deliveries


def _weigh(wish: _Wish) -> tuple[int, int]:
    return 1, wish.wanted.room if isinstance(wish, _Load) else 0


class Loader:
    """Collects requests, queries the database in batches, and passes the results on."""

    def __init__(self, database: Database, clock: Clock, handler: LoadHandler) -> None:
        self._database = database
        self._clock = clock
        self._handler = handler
        self._lanes: set[_Lane] = set()  # requests that wait for a batch: each lane once,
        self._loads: dict[UUID, _Load] = {}  # and each endpoint once, by its id
        self._batcher: Batcher[_Wish, None] = Batcher(
            self._ask,
            lambda _asked, _nothing: None,
            self._failed,
            most=Bound(MAX_LANES, MAX_ROWS),
            gather=Gather(GATHER, came=1),
            weigh=_weigh,
        )
        self._never = asyncio.Event()

    def want_config(self, app_id: UUID, endpoint_id: UUID) -> None:
        lane = (app_id, endpoint_id)
        if lane not in self._lanes:
            self._lanes.add(lane)
            self._batcher.put(lane)

    def want(self, wanted: store.Wanted, *, patience: float = 0.0) -> None:
        """Request deliveries of a lane. `patience`: seconds for which the request may wait for others."""
        load = self._loads.get(wanted.endpoint_id)
        if load is not None:
            load.wanted = wanted
        else:
            load = self._loads[wanted.endpoint_id] = _Load(wanted)
            self._batcher.put(load, patience=patience)

    async def run(self) -> None:
        """Load until cancelled."""
        await self._batcher.run()

    async def _ask(self, batch: list[_Wish]) -> None:
        self._taken(batch)
        lanes, loads = _parts(batch)
        async with self._database.connection() as connection:
            if lanes:
                self._handler.configured(lanes, await store.configs(connection, lanes))
            if loads:
                now = datetime_at(self._clock.now())
                rows, next_due = await store.load(connection, loads, now)
                self._handler.loaded(loads, rows, next_due)

    async def _failed(self, unwritten: Unwritten[_Wish]) -> Sequence[list[_Wish]]:
        batch, error = unwritten.batch, unwritten.error
        # on any error: a lane that gets no reply would wait forever
        away = isinstance(error, StoreUnavailable | StatementFailed)
        known = isinstance(error, StoreUnavailable | DatabaseFault)
        log.warning("load.failed", lanes=len(batch), error=str(error), exc_info=None if known else error)
        if not away and len(batch) > 1:
            return unwritten.apart()
        lanes, loads = _parts(batch)
        for lane in lanes:
            self.want_config(*lane)
        await self._clock.wait(self._never, self._clock.now() + _PAUSE)
        self._handler.not_loaded(loads)
        return []

    def _taken(self, batch: list[_Wish]) -> None:
        """These no longer wait: new requests go into the next batch."""
        for wish in batch:
            if not isinstance(wish, _Load):
                self._lanes.discard(wish)
            elif self._loads.get(wish.wanted.endpoint_id) is wish:
                del self._loads[wish.wanted.endpoint_id]


def _parts(batch: list[_Wish]) -> tuple[list[_Lane], list[store.Wanted]]:
    lanes = [wish for wish in batch if not isinstance(wish, _Load)]
    return lanes, [wish.wanted for wish in batch if isinstance(wish, _Load)]
