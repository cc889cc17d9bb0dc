"""Connections to PostgreSQL: a pool for everyone, and single connections for those who keep one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import msgspec

from angarium.core.errors import StoreUnavailable




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
                url, min_size=1, max_size=size, init=_prepare, server_settings={"application_name": "angarium"}
            )
        except (OSError, asyncpg.PostgresError) as error:
            raise StoreUnavailable(f"cannot connect to the database: {error}") from error
        return cls(pool, url)

    async def close(self) -> None:
        await self._pool.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """A connection for reads and single statements (each its own transaction)."""
        async with self._pool.acquire() as connection:
            yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        """A connection inside a transaction, committed on leaving and rolled back on an error."""
        async with self._pool.acquire() as connection, connection.transaction():
            yield connection

    async def dedicated(self, **server_settings: str) -> Any:
        """A connection outside the pool, for locks and listening; the caller closes it."""
        settings = {"application_name": "angarium", **server_settings}
        try:
            connection = await asyncpg.connect(self.url, server_settings=settings)
        except (OSError, asyncpg.PostgresError) as error:
            raise StoreUnavailable(f"cannot connect to the database: {error}") from error
        await _prepare(connection)
        return connection
