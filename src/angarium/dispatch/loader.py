"""Load, coalesced: what many lanes want to know goes into one question to the database.

A question that fails for another reason than the database being away is asked for each lane by itself, so
that one lane's rows hold up no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Final
from uuid import UUID

import structlog

from angarium.clock import Clock, datetime_at
from angarium.core.errors import StoreUnavailable
from angarium.dispatch.load_handler import LoadHandler
from angarium.store import load as store
from angarium.store.database import Database
from angarium.store.fault import DatabaseFault, StatementFailed

log = structlog.get_logger(__name__)

MAX_LANES: Final = 200
MAX_ROWS: Final = 2000  # a question brings at most about this many payloads
GATHER: Final = 0.005  # seconds for which more may join those that came during a question: a few large ones
# cost far less than many small ones
_PAUSE: Final = 0.5


class Loader:
    """Collects wishes, asks in batches, and passes the answers on."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        handler: LoadHandler,
        parked: Collection[tuple[UUID, UUID]] = frozenset(),
    ) -> None:
        """`parked`: deliveries, as (endpoint id, message id), that are not to be sent again."""
        self._database = database
        self._clock = clock
        self._handler = handler
        self._parked = parked
        self._configs: dict[UUID, UUID] = {}  # endpoint id -> application id
        self._loads: dict[UUID, store.Wanted] = {}
        self._wake = asyncio.Event()
        self._retry = asyncio.Event()

    def want_config(self, app_id: UUID, endpoint_id: UUID) -> None:
        self._configs[endpoint_id] = app_id
        self._wake.set()

    def want(self, wanted: store.Wanted) -> None:
        self._loads[wanted.endpoint_id] = wanted
        self._wake.set()

    async def run(self) -> None:
        """Answer until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._configs or self._loads:
                lanes, loads = self._take()
                if not await self._ask(lanes, loads) and len(lanes) + len(loads) > 1:
                    for lane in lanes:
                        await self._ask([lane], [])
                    for load in loads:
                        await self._ask([], [load])
                if self._configs or self._loads:
                    await asyncio.sleep(GATHER)

    async def _ask(self, lanes: list[tuple[UUID, UUID]], loads: list[store.Wanted]) -> bool:
        """Ask, and pass on what the database says; False when it is to be asked for each by itself."""
        try:
            async with self._database.connection() as connection:
                if lanes:
                    self._handler.configured(lanes, await store.configs(connection, lanes))
                if loads:
                    now = datetime_at(self._clock.now())
                    rows, next_due = await store.load(connection, loads, now)
                    if self._parked:
                        rows = [row for row in rows if (row.endpoint_id, row.message_id) not in self._parked]
                    self._handler.loaded(loads, rows, next_due)
        except Exception as error:
            # whatever it is, the lanes must be told, or they wait for ever
            away = isinstance(error, StoreUnavailable | StatementFailed)
            known = isinstance(error, StoreUnavailable | DatabaseFault)
            count = len(lanes) + len(loads)
            log.warning("load.failed", lanes=count, error=str(error), exc_info=not known)
            if not away and count > 1:
                return False
            for app_id, endpoint_id in lanes:
                self._configs.setdefault(endpoint_id, app_id)
            await self._clock.wait(self._retry, self._clock.now() + _PAUSE)
            self._handler.not_loaded(loads)
        return True

    def _take(self) -> tuple[list[tuple[UUID, UUID]], list[store.Wanted]]:
        lanes = [(app_id, endpoint_id) for endpoint_id, app_id in self._configs.items()][:MAX_LANES]
        for _, endpoint_id in lanes:
            del self._configs[endpoint_id]
        loads: list[store.Wanted] = []
        rows = 0
        for wanted in list(self._loads.values()):
            if len(loads) >= MAX_LANES or (loads and rows + wanted.room > MAX_ROWS):
                break
            loads.append(self._loads.pop(wanted.endpoint_id))
            rows += wanted.room
        return lanes, loads
