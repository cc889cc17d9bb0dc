"""Load, coalesced: what many lanes want to know goes into one question to the database."""

from __future__ import annotations

import asyncio
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from angarium.clock import Clock, datetime_at
from angarium.core.errors import StoreUnavailable
from angarium.dispatch.answers import Answers
from angarium.store import load as store
from angarium.store.database import Database

log = structlog.get_logger(__name__)

MAX_LANES: Final = 200
MAX_ROWS: Final = 2000  # a question brings at most about this many payloads
GATHER: Final = 0.005  # seconds for which more may join those that came during a question: a few large ones
# cost far less than many small ones
_PAUSE: Final = 0.5


class Loader:
    """Collects wishes, asks in batches, and passes the answers on."""

    def __init__(self, database: Database, clock: Clock, answers: Answers) -> None:
        self._database = database
        self._clock = clock
        self._answers = answers
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
                try:
                    async with self._database.connection() as connection:
                        if lanes:
                            self._answers.configured(lanes, await store.configs(connection, lanes))
                        if loads:
                            now = datetime_at(self._clock.now())
                            self._answers.loaded(loads, *await store.load(connection, loads, now))
                except Exception as error:
                    # whatever it is, the lanes must be told, or they wait for ever
                    fault = not isinstance(error, StoreUnavailable | asyncpg.PostgresError)
                    log.warning(
                        "load.failed", lanes=len(lanes) + len(loads), error=str(error), exc_info=fault
                    )
                    for app_id, endpoint_id in lanes:
                        self._configs.setdefault(endpoint_id, app_id)
                    await self._clock.wait(self._retry, self._clock.now() + _PAUSE)
                    self._answers.not_loaded(loads)
                if self._configs or self._loads:
                    await asyncio.sleep(GATHER)

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
