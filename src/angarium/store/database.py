"""Gives access to a PostgreSQL database: a pool of connections, and dedicated ones for locks and
listening."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final, Protocol, TypeVar

import asyncpg

from angarium.clock import steady
from angarium.core.errors import StoreUnavailable
from angarium.core.event import NO_EVENTS, REFUSED, Events
from angarium.store import release
from angarium.store.connection import (
    RESTART,
    Connection,
    Connector,
    DedicatedConnection,
    PoolConnector,
    StoreConnection,
)
from angarium.store.fault import RAISED, StatementFailed, breaks, caused_by, translated
from angarium.store.guard import Guard
from angarium.store.sql import queries

Found = TypeVar("Found")

ACQUIRE_TIMEOUT: Final = 10.0  # seconds to wait for a connection of the pool
STATEMENT_TIMEOUT: Final = 30.0  # seconds after which a statement's connection is closed
CLOSE_TIMEOUT: Final = 5.0  # seconds to wait for connections in use when the pool is closed

GONE: Final = {
    # A host that is gone must keep neither shards nor locks. Keepalives detect it on an idle connection.
    # They are not sent while data is unacknowledged, so that has a timeout of its own.
    "tcp_keepalives_idle": "4",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10s",
    # Neither must a process that hangs within a transaction.
    "idle_in_transaction_session_timeout": "60s",
}
"""Settings with which PostgreSQL detects clients that are gone."""

PATIENCE: Final = {
    # Shorter than STATEMENT_TIMEOUT, so that PostgreSQL ends the statement first and the outcome is known.
    "lock_timeout": "10s",
    "statement_timeout": "25s",
}
"""Time limits of a statement on a pooled connection."""

FOR_ITS_VALUES: Final = {
    # Without this, the sixth call of a statement in a session makes a generic plan to compare: over the
    # history of 90 days it takes up to 170 ms and 18 MB, and locks each partition.
    "plan_cache_mode": "force_custom_plan",
}
"""Settings for statements that are rare in a session and read the history."""


async def _keep(connection: asyncpg.Connection) -> None:
    """Do nothing: no state is left on a pooled connection, so the round trip of a reset is saved."""


def _drop(connection: asyncpg.Connection) -> None:
    """Close a pooled connection at once. The pool opens another when one is needed."""
    with suppress(asyncpg.InterfaceError):  # it may be closed already
        connection.terminate()


def _cancellation(error: BaseException) -> asyncio.CancelledError | None:
    """The cancellation that an error replaced, if any: canceling a statement closes its connection, so the
    rollback that follows fails."""
    before: BaseException | None = error
    while isinstance(before, asyncpg.InterfaceError):
        before = before.__context__
    return before if isinstance(before, asyncio.CancelledError) else None


class Reader(Protocol):
    """Runs the queries of lists and pages."""

    async def read(self, look: Callable[[Connection], Awaitable[Found]]) -> Found: ...


class Database:
    """A pool of connections to one PostgreSQL database.

    With `direct_url`, `url` is that of a pooler in transaction mode, where no session settings may be used.
    Locks and listening use `direct_url`. `answered_at`: when a statement on the pool last succeeded or was
    refused, by the steady time.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        connector: Connector,
        url: str,
        direct_url: str | None = None,
        guard: Guard | None = None,
        name: str = "engine",
        events: Events = NO_EVENTS,
    ) -> None:
        self.name = name
        self._events = events
        self._pool = pool
        self._connector = connector
        self._guard = guard
        self.answered_at = steady()
        self.url = url
        self._direct_url = direct_url or url
        self._reader: Reader | None = None

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        size: int = 10,
        direct_url: str | None = None,
        prepared: bool = True,
        standby: bool = False,
        guard: Guard | None = None,
        pool_name: str = "engine",
        events: Events = NO_EVENTS,
        planned: bool = False,
    ) -> Database:
        """Open a pool of at most `size` connections. `prepared`: keep prepared statements. `standby`: to a
        read replica, which may still be unavailable. `guard`: checks each new connection. `pool_name`: what
        metrics call it. `planned`: each statement is planned for its values. A pooler does not allow it.

        Raises StoreUnavailable if no host responds.
        """
        connector = Connector(
            url,
            statement_timeout=STATEMENT_TIMEOUT,
            name=release.session_name("replica" if standby else ""),
            settings={} if direct_url else GONE | PATIENCE | (FOR_ITS_VALUES if planned else {}),
            prepared=prepared,
            standby=standby,
            admit=None if guard is None else guard.admit,
        )
        pool = await asyncpg.create_pool(
            init_size=0 if standby else 1,
            min_size=0,  # a lost connection is replaced when it is needed, by `acquire`, which reports errors
            max_size=size,
            connect=PoolConnector(connector, 0.0 if standby else RESTART),
            connection_class=StoreConnection,
            reset=_keep,
        )
        return cls(pool, connector, url, direct_url, guard, pool_name, events)

    async def close(self) -> None:
        """Close the pool. Connections that are in use after a few seconds are cut."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    @property
    def use(self) -> tuple[int, int, int]:
        """How many connections are in use, idle, and allowed."""
        idle = self._pool.get_idle_size()
        return self._pool.get_size() - idle, idle, self._pool.get_max_size()

    async def time(self) -> float:
        """The database's time, epoch seconds, within half a round trip."""
        async with self.connection() as connection:
            started = time.monotonic()
            answer: float = await queries.database_time(connection)
            return answer + (time.monotonic() - started) / 2

    async def fresh_time(self) -> float:
        """The database's time over a new connection, which is like those of the pool. Raises
        StoreUnavailable."""
        connection = await self._connector()
        try:
            answer: float = await queries.database_time(connection)
            return answer
        finally:
            connection.terminate()

    async def writable(self) -> bool:
        """Whether the database accepts writes. Raises as `connection` does."""
        async with self.connection() as connection:
            return bool(await queries.health_check(connection))

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection for reads and single statements (each its own transaction).

        Raises StoreUnavailable if the database is unavailable, before or during use, and RowRefused or
        StatementFailed if trying again is useless (see store/fault.py).
        """
        asked_at = time.monotonic()
        try:
            async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT) as connection:
                self._events.connected(self.name, time.monotonic() - asked_at)
                try:
                    yield connection
                except (*RAISED, asyncio.CancelledError) as error:
                    if isinstance(error, asyncio.CancelledError) or breaks(error):
                        _drop(connection)
                    else:
                        self.answered_at = steady()
                    raise
                self.answered_at = steady()
                if getattr(connection, "outdated", False):
                    _drop(connection)
        except RAISED as error:
            if (canceled := _cancellation(error)) is not None:
                raise canceled from None
            fault = translated(error)
            if self._guard is not None and isinstance(fault, StatementFailed):
                self._guard.doubt()
            reason = fault.reason.value if isinstance(fault, StoreUnavailable) else REFUSED
            self._events.database_failed(self.name, reason)
            raise fault from caused_by(fault, error)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection inside a transaction, committed on exit and rolled back on an error."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    def read_from(self, reader: Reader) -> None:
        """Read lists and pages through `reader` from now on."""
        self._reader = reader

    async def read(self, look: Callable[[Connection], Awaitable[Found]]) -> Found:
        """Run `look` for a list or a page, on the read replica if there is one (store/replica.py).

        `look` may be called twice, so it must only read. Never use it for data that a write depends on,
        permissions or secrets. Raises as `connection` does.
        """
        if self._reader is not None:
            return await self._reader.read(look)
        async with self.connection() as connection:
            return await look(connection)

    async def dedicated(
        self, timeout: float = STATEMENT_TIMEOUT, *, name: str = "", **settings: str
    ) -> DedicatedConnection:
        """A connection outside the pool to a server that accepts writes, for locks and listening. The caller
        closes it.

        `timeout`: seconds that one statement may take. `name`: what it is for. Raises StoreUnavailable.
        """
        connector = Connector(
            self._direct_url,
            statement_timeout=timeout,
            name=release.session_name(name),
            settings=settings,
            writable=True,
            admit=None if self._guard is None else self._guard.admit,
        )
        return await connector()


@asynccontextmanager
async def savepoint(connection: Connection) -> AsyncIterator[None]:
    """A part of a transaction. It is rolled back alone when it fails.

    Raises RowRefused or StatementFailed, and StoreUnavailable when only this part cannot be done. Errors of
    the connection itself end the transaction.
    """
    try:
        async with connection.transaction():
            yield
    except asyncpg.PostgresError as error:
        if breaks(error):
            raise
        fault = translated(error)
        raise fault from caused_by(fault, error)
