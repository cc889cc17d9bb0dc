"""Checks whether this server can do its work, and why not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from angarium.clock import DOUBTFUL, Clock
from angarium.core.errors import StoreReason, StoreUnavailable
from angarium.core.overdue import FaultHold
from angarium.store import our_fault
from angarium.store.database import Database
from angarium.store.fault import DatabaseFault
from angarium.store.our_fault import FaultRow

PATIENCE: Final = 3.0


class DatabaseHealth:
    """Queries the database and checks its writers: only a write fails if, for example, the disk is full.

    `hold`: why all deliveries wait, or None. `waiting`: for each writer, why it cannot write now, or None.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        waiting: Sequence[Callable[[], StoreReason | None]],
        hold: Callable[[], FaultHold | None] = lambda: None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._waiting = waiting
        self._hold = hold

    async def trouble(self) -> StoreReason | None:
        """Why the database cannot be used, or None."""
        try:
            async with asyncio.timeout(PATIENCE):
                if not await self._database.writable():
                    return StoreReason.READ_ONLY
        except StoreUnavailable as error:
            return error.reason
        except TimeoutError:
            return StoreReason.TOO_SLOW
        except DatabaseFault:
            return StoreReason.SCHEMA
        return next((reason for ask in self._waiting if (reason := ask()) is not None), None)

    def clock_apart(self) -> float | None:
        """Seconds by which the database's clock is ahead of this host's, if one of them must be wrong."""
        apart = self._clock.apart()
        return apart if abs(apart) > DOUBTFUL else None

    async def faults(self) -> list[FaultRow]:
        """Faults on our side, of all processes, that prevent sending. Empty when the database does not
        answer."""
        try:
            async with asyncio.timeout(PATIENCE), self._database.connection() as connection:
                held = (
                    [] if (hold := self._hold()) is None else [FaultRow("restore", hold.code, hold.since, 0)]
                )
                return held + await our_fault.under_way(connection, self._clock.now())
        except (StoreUnavailable, DatabaseFault, TimeoutError):
            return []
