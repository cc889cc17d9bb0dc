"""Reads lists and pages from a read replica, a physical standby, if it is up to date.

Each read asks the primary for its position in the log, which is cheap, and waits briefly until the replica
has replayed that far. So the result includes everything committed before the read, by any process. Otherwise
the primary runs the query: when the replica is behind, unreachable, promoted, of another history, or cancels
the query in favor of replay. No read fails because of the replica.

After a problem the replica is used again once it has been in order for `REST`. A check each second finds that
out, and measures the lag.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import structlog

from angarium.clock import Clock
from angarium.core.errors import StoreReason, StoreUnavailable
from angarium.core.replica import Lag, LogPosition, ReplicaTrouble, judge
from angarium.store.connection import Connection, Row
from angarium.store.database import Database
from angarium.store.fault import DatabaseFault, StatementFailed
from angarium.store.sql import queries

log = structlog.get_logger(__name__)

Found = TypeVar("Found")

LOOK: Final = 1.0  # seconds between checks
REST: Final = 5.0  # seconds without a problem before the replica is used again
ANSWER: Final = 5.0  # seconds that a read from the replica may take, including the connection
SOON: Final = 0.002  # seconds until the position is read again, at first
_AWAY: Final = (StoreUnavailable, StatementFailed, TimeoutError)
_TROUBLE: Final = {
    StoreReason.CONFLICT: ReplicaTrouble.CONFLICT,
    StoreReason.TOO_SLOW: ReplicaTrouble.TOO_SLOW,
}


class _InTrouble(Exception):
    """The replica cannot be used for this read."""

    def __init__(self, trouble: ReplicaTrouble) -> None:
        super().__init__(trouble.value)
        self.trouble = trouble


@dataclass(frozen=True, slots=True)
class ReplicaState:
    """The state that operators see. `trouble`: why the primary is read; None while the replica is read.
    `since`: start of this state, epoch seconds. The lag is None if it is unknown."""

    trouble: ReplicaTrouble | None
    since: float
    lag_seconds: float | None
    lag_bytes: int | None


class Replica:
    """Reads from a standby, or from the primary if the standby cannot be used."""

    def __init__(self, primary: Database, standby: Database, clock: Clock, *, lag: float) -> None:
        """`lag`: seconds that a read waits for the replica."""
        self._primary = primary
        self._standby = standby
        self._clock = clock
        self._wait = lag
        self._lag = Lag()
        self._trouble: ReplicaTrouble | None = ReplicaTrouble.STARTING
        self._since = clock.now()
        self._rests_until = clock.steady()
        self._looking: asyncio.Task[None] | None = None

    @property
    def state(self) -> ReplicaState:
        return ReplicaState(self._trouble, self._since, self._lag.seconds, self._lag.bytes)

    def start(self) -> None:
        """Start checking the replica, which may still be unavailable."""
        self._looking = asyncio.create_task(self._look_always(), name="replica")

    async def stop(self) -> None:
        """Stop checking, and close the connections to the replica."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await self._standby.close()

    async def read(self, look: Callable[[Connection], Awaitable[Found]]) -> Found:
        """Run `look` on a connection. It may be called twice, so it must only read. Raises as `connection` of
        the primary does."""
        if self._trouble is None and (position := await self._position()).lsn is not None:
            try:
                async with asyncio.timeout(ANSWER), self._standby.connection() as connection:
                    await self._reach(connection, position)
                    return await look(connection)
            except _InTrouble as error:
                self._leave(error.trouble)
            except _AWAY as error:
                self._leave(_trouble_of(error), error)
        async with self._primary.connection() as connection:
            return await look(connection)

    async def _position(self) -> LogPosition:
        async with self._primary.connection() as connection:
            return _position(await queries.replica_primary(connection))

    async def _reach(self, connection: Connection, wanted: LogPosition) -> LogPosition:
        """Wait until the replica has replayed up to `wanted`. Returns its position. Raises _InTrouble if it
        does not get there in time."""
        deadline, pause = self._clock.steady() + self._wait, SOON
        while True:
            found = _position(await queries.replica_standby(connection))
            trouble = judge(wanted, found)
            if trouble is None:
                return found
            left = deadline - self._clock.steady()
            if trouble is not ReplicaTrouble.LAGGING or left <= 0:
                raise _InTrouble(trouble)
            await asyncio.sleep(min(pause, left))
            pause *= 2

    async def _look_always(self) -> None:
        while True:
            await self._look()
            await asyncio.sleep(LOOK)

    async def _look(self) -> None:
        """Check the replica, and measure its lag."""
        asked_at = self._clock.steady()
        try:
            position = await self._position()
        except StoreUnavailable:
            return  # other parts report an unavailable primary
        except DatabaseFault as error:
            self._leave(ReplicaTrouble.REFUSED, error)
            return
        if position.lsn is None:
            return
        try:
            async with asyncio.timeout(ANSWER), self._standby.connection() as connection:
                trouble = await self._compare(connection, position, position.lsn, asked_at)
        except (*_AWAY, DatabaseFault) as error:
            self._lag.unknown()
            self._leave(_trouble_of(error), error)
            return
        if trouble is not None:
            self._leave(trouble)
        elif self._trouble is not None and self._clock.steady() >= self._rests_until:
            self._trouble, self._since = None, self._clock.now()
            log.info("replica.used", lag_seconds=self._lag.seconds)

    async def _compare(
        self, connection: Connection, position: LogPosition, lsn: int, asked_at: float
    ) -> ReplicaTrouble | None:
        trouble = None
        try:
            found = await self._reach(connection, position)
        except _InTrouble as error:
            trouble = error.trouble
            found = _position(await queries.replica_standby(connection))
        if found.lsn is None or trouble is ReplicaTrouble.DIVERGED:
            self._lag.unknown()
        else:
            self._lag.noted(asked_at, lsn, found.lsn, self._clock.steady())
        return trouble

    def _leave(self, trouble: ReplicaTrouble, error: BaseException | None = None) -> None:
        self._rests_until = self._clock.steady() + REST
        if trouble is self._trouble:
            return
        self._trouble, self._since = trouble, self._clock.now()
        log.warning(
            "replica.left",
            reason=trouble.value,
            lag_seconds=self._lag.seconds,
            error=None if error is None else str(error),
        )


def _trouble_of(error: BaseException) -> ReplicaTrouble:
    if isinstance(error, DatabaseFault):
        return ReplicaTrouble.REFUSED
    if isinstance(error, StoreUnavailable):
        return _TROUBLE.get(error.reason, ReplicaTrouble.UNREACHABLE)
    return ReplicaTrouble.TOO_SLOW


def _position(row: Row) -> LogPosition:
    return LogPosition(row["system"], row["database"], row["timeline"], row["lsn"])
