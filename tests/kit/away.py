"""Takes a database away from its clients, while its server stays."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import asyncpg

from angarium.store.embedded import EmbeddedPostgres
from tests.kit.patience import PATIENCE


@asynccontextmanager
async def away(postgres: EmbeddedPostgres, database_url: str) -> AsyncIterator[None]:
    """The database has ended every session and accepts none."""
    name = urlsplit(database_url).path[1:]
    owner = await asyncpg.connect(postgres.url("postgres"))
    try:
        await owner.execute(f"alter database {name} allow_connections false")
        ended = "select pg_terminate_backend(pid, $2) from pg_stat_activity where datname = $1"
        await owner.fetch(ended, name, int(PATIENCE * 1000))
        yield
    finally:
        await owner.execute(f"alter database {name} allow_connections true")
        await owner.close()
