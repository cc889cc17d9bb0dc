"""Stops a process that may not use the database any more: its release is too old, or its epoch has ended.

It also tells the parts of the process about a restore: nothing is sent while the database is held.

Every new connection of the process is checked before it is used. A restored database has other connections
than the one before it, so no statement of an earlier epoch reaches it. The floor of the schema can rise
while connections are open, so the process also looks every LOOK seconds, and at once when a statement fails
because of the schema.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from uuid import UUID

import structlog

from angarium.clock import steady
from angarium.core.errors import ProcessRefused, StoreReason, StoreUnavailable
from angarium.core.overdue import FaultHold
from angarium.store import installation
from angarium.store.fault import DatabaseFault
from angarium.store.installation import Installation, RestoreHold

if TYPE_CHECKING:
    from angarium.store.connection import Connection
    from angarium.store.database import Database

log = structlog.get_logger(__name__)

RESTORING: Final = "restoring"  # the code of the failure kind
LOOK: Final = 5.0  # seconds
SOON: Final = 1.0  # the same during a restore
GAP: Final = 1.0  # seconds between two looks, however many statements fail


class Guard:
    """Admits the connections of one process. `refusal` says why it must stop."""

    def __init__(self) -> None:
        self.refusal: ProcessRefused | None = None
        self.hold: RestoreHold | None = None
        self.pace: int | None = None  # deliveries a second of all processes together
        self.limited = False  # a delivery had to wait for the pace since the last look
        self._quiet_since = steady()
        self._paced_since = 0.0
        self._epoch: UUID | None = None
        self._doubt = asyncio.Event()

    async def admit(self, connection: Connection) -> None:
        """Check a new connection. Raises StoreUnavailable if the process must stop."""
        self._judge(await installation.read(connection))
        if self.refusal is not None:
            raise StoreUnavailable(self.refusal.detail, reason=StoreReason.SCHEMA)

    @property
    def accepts(self) -> bool:
        """Whether messages may be accepted."""
        return self.hold is None or self.hold.accepting

    @property
    def waiting(self) -> FaultHold | None:
        """Why due deliveries wait, for customers."""
        if self.hold is not None:
            return FaultHold(RESTORING, self.hold.since.timestamp())
        return None if self.pace is None else FaultHold(RESTORING, self._paced_since)

    @property
    def restore(self) -> str | None:
        """What a restore of the database means now, as a sentence for operators."""
        if self.hold is not None:
            accepts = "messages are accepted" if self.hold.accepting else "no messages are accepted"
            return (
                f"The database was restored to {self.hold.restored_to.isoformat()} and is held: nothing is "
                f"sent, and {accepts}, until `angarium restore release`."
            )
        if self.pace is not None:
            return f"After a restore, all processes together start at most {self.pace} deliveries a second."
        return None

    def doubt(self) -> None:
        """A statement failed because of the schema: look now."""
        self._doubt.set()

    async def watch(self, database: Database, stop: Callable[[], None]) -> None:
        """Look until the process must stop, then call `stop`."""
        while self.refusal is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK if self.hold is None and self.pace is None else SOON):
                    await self._doubt.wait()
            if self.refusal is None:
                await self._look(database)
        log.error("process.refused", reason=self.refusal.detail)
        stop()

    async def _look(self, database: Database) -> None:
        with suppress(StoreUnavailable, DatabaseFault):  # looked at again later
            async with database.connection() as connection:
                self._judge(await installation.read(connection))
                if self.pace is not None:
                    await self._note_pace(connection)
        if self.refusal is None and self._doubt.is_set():
            await asyncio.sleep(GAP)
            self._doubt.clear()

    async def _note_pace(self, connection: Connection) -> None:
        limited, self.limited = self.limited, False
        if limited:
            self._quiet_since = steady()
        if limited or steady() - self._quiet_since > installation.QUIET:
            await installation.note_pace(connection, limited=limited)

    def _judge(self, found: Installation) -> None:
        if found.pace is not None and self.pace is None:
            self._paced_since = time.time() if self.hold is None else self.hold.since.timestamp()
            self._quiet_since = steady()
        self.hold, self.pace = found.hold, found.pace
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
