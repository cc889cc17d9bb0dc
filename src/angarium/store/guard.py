"""Stops a process that may not use the database any more: its release is too old, or its epoch has ended.

Every new connection of the process is checked before it is used. A restored database has other connections
than the one before it, so no statement of an earlier epoch reaches it. The floor of the schema can rise
while connections are open, so the process also looks every LOOK seconds, and at once when a statement fails
because of the schema.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from uuid import UUID

import structlog

from angarium.core.errors import ProcessRefused, StoreReason, StoreUnavailable
from angarium.store import installation
from angarium.store.fault import DatabaseFault
from angarium.store.installation import Installation

if TYPE_CHECKING:
    from angarium.store.connection import Connection
    from angarium.store.database import Database

log = structlog.get_logger(__name__)

LOOK: Final = 5.0  # seconds
GAP: Final = 1.0  # seconds between two looks, however many statements fail


class Guard:
    """Admits the connections of one process. `refusal` says why it must stop."""

    def __init__(self) -> None:
        self.refusal: ProcessRefused | None = None
        self._epoch: UUID | None = None
        self._doubt = asyncio.Event()

    async def admit(self, connection: Connection) -> None:
        """Check a new connection. Raises StoreUnavailable if the process must stop."""
        self._judge(await installation.read(connection))
        if self.refusal is not None:
            raise StoreUnavailable(self.refusal.detail, reason=StoreReason.SCHEMA)

    def doubt(self) -> None:
        """A statement failed because of the schema: look now."""
        self._doubt.set()

    async def watch(self, database: Database, stop: Callable[[], None]) -> None:
        """Look until the process must stop, then call `stop`."""
        while self.refusal is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    await self._doubt.wait()
            if self.refusal is None:
                await self._look(database)
        log.error("process.refused", reason=self.refusal.detail)
        stop()

    async def _look(self, database: Database) -> None:
        with suppress(StoreUnavailable, DatabaseFault):  # looked at again later
            async with database.connection() as connection:
                self._judge(await installation.read(connection))
        if self.refusal is None:
            await asyncio.sleep(GAP)
            self._doubt.clear()

    def _judge(self, found: Installation) -> None:
        try:
            found.require_release()
            if self._epoch is None:
                self._epoch = found.epoch
            elif found.epoch != self._epoch:
                raise ProcessRefused(
                    "the database was restored to an earlier time while this process was running, so what it "
                    "has in memory may be wrong; start it again"
                )
        except ProcessRefused as refusal:
            self.refusal = refusal
            self._doubt.set()
