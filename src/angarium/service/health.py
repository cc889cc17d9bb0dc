"""Whether this server can do its work."""

from __future__ import annotations

import asyncio
from typing import Final

import asyncpg

from angarium.core.errors import StoreUnavailable
from angarium.store import health
from angarium.store.database import Database

PATIENCE: Final = 3.0


async def database_answers(database: Database) -> bool:
    """False when it refuses, is away, or takes too long."""
    try:
        async with asyncio.timeout(PATIENCE), database.connection() as connection:
            return await health.check(connection)
    except (OSError, TimeoutError, StoreUnavailable, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
