"""Checks that the database responds and accepts writes."""

from __future__ import annotations

from angarium.store.connection import Connection
from angarium.store.sql import queries


async def writable(connection: Connection) -> bool:
    return bool(await queries.health_check(connection))
