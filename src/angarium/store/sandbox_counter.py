"""Stores the counters of sandbox scenarios, such as an application's credits."""

from __future__ import annotations

from uuid import UUID

from angarium.store.connection import Connection
from angarium.store.sql import queries


async def take(connection: Connection, app_id: UUID, name: str, start: int, amount: int) -> tuple[int, int]:
    """Subtract `amount` from a counter. Returns its values before and after, neither below zero."""
    after: int = await queries.sandbox_counter_take(
        connection, app_id=app_id, name=name, start=start, take=amount
    )
    return max(0, after + amount), max(0, after)
