"""Connections to PostgreSQL: a pool for everyone, and single connections for those who keep one."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
import msgspec

from angarium.core.errors import StoreUnavailable
from angarium.store.sql import queries

ACQUIRE_TIMEOUT: Final = 10.0  # seconds to wait for a connection of the pool
STATEMENT_TIMEOUT: Final = 30.0  # seconds that one statement may take

GONE: Final = {
    # A host that vanished must keep neither shards nor locks: it is asked after a moment of silence, and
    # what it does not acknowledge, which would hold the questions back, counts as silence too.
    "tcp_keepalives_idle": "4",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10s",
    # Nor must a process that hangs in the middle of a transaction.
    "idle_in_transaction_session_timeout": "60s",
}
"""What PostgreSQL is told to do about clients that are gone."""

LOST: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that the server ended while it was idle
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shutting down, crashed, starting, canceled
    asyncpg.InsufficientResourcesError,  # out of connections, memory or disk
)
"""What asyncpg raises when the database is not there for us."""


async def _keep(connection: asyncpg.Connection) -> None:
    """Nothing to reset: we leave no state on a pooled connection, and a round trip is saved."""


async def _prepare(connection: asyncpg.Connection) -> None:
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: b"\x01" + msgspec.json.encode(value),
        decoder=lambda data: msgspec.json.decode(data[1:]),
        format="binary",
    )


class Database:
    """A pool of connections to one PostgreSQL database."""

    def __init__(self, pool: asyncpg.Pool, url: str) -> None:
        self._pool = pool
        self.url = url

    @classmethod
    async def connect(cls, url: str, *, size: int = 10) -> Database:
        """Open a pool of at most `size` connections. Raises StoreUnavailable when nobody answers."""
        try:
            pool = await asyncpg.create_pool(
                url,
                min_size=1,
                max_size=size,
                init=_prepare,
                reset=_keep,
                command_timeout=STATEMENT_TIMEOUT,
                server_settings={"application_name": "angarium"} | GONE,
            )
        except (*LOST, asyncpg.PostgresError) as error:
            raise StoreUnavailable(f"cannot connect to the database: {error}") from error
        return cls(pool, url)

    async def close(self) -> None:
        await self._pool.close()

    async def time(self) -> float:
        """The database's time, epoch seconds, within half a round trip."""
        async with self.connection() as connection:
            started = time.monotonic()
            answer: float = await queries.database_time(connection)
            return answer + (time.monotonic() - started) / 2

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """A connection for reads and single statements (each its own transaction).

        Raises StoreUnavailable when the database is not there, before or in between, and after a deadlock.
        """
        try:
            async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT) as connection:
                try:
                    yield connection
                except LOST:
                    connection.terminate()  # in an unknown state: the pool makes another
                    raise
        except LOST as error:
            raise StoreUnavailable from error
        except asyncpg.TransactionRollbackError as error:
            raise StoreUnavailable("Two changes got in each other's way; try again.") from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        """A connection inside a transaction, committed on leaving and rolled back on an error."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def dedicated(self, timeout: float = STATEMENT_TIMEOUT, **server_settings: str) -> Any:
        """A connection outside the pool, for locks and listening; the caller closes it.

        `timeout`: seconds that one statement may take.
        """
        settings = {"application_name": "angarium", **server_settings}
        try:
            connection = await asyncpg.connect(
                self.url, server_settings=settings, timeout=ACQUIRE_TIMEOUT, command_timeout=timeout
            )
        except (*LOST, asyncpg.PostgresError) as error:
            raise StoreUnavailable(f"cannot connect to the database: {error}") from error
        await _prepare(connection)
        return connection
