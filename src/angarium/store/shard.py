"""Ownership of shards: PostgreSQL's session advisory locks decide, and a crash frees them at once.

Every call is made on one dedicated connection that lives as long as the ownership.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from angarium.store.sql import queries

SHARDS: Final = 64
CHANNEL: Final = "angarium"
SESSION: Final = {
    "application_name": "angarium-dispatcher",
    # A host that vanished must not keep its shards: the server asks after five seconds of silence.
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}


def shard_of(endpoint_id: UUID) -> int:
    """The shard of an endpoint's lane: ids end in random bits."""
    return endpoint_id.int % SHARDS


async def join(connection: Any) -> None:
    """Be counted among the dispatchers while the connection lives."""
    await queries.shard_join(connection)


async def members(connection: Any) -> int:
    """How many dispatchers there are."""
    count: int = await queries.shard_members(connection)
    return count


async def take(connection: Any, shards: Sequence[int]) -> list[int]:
    """Try to own these shards; those that are free become ours."""
    return [shard async for shard, taken in queries.shard_take(connection, shards=shards) if taken]


async def give(connection: Any, shards: Sequence[int]) -> None:
    """Let go of these shards."""
    await queries.shard_give(connection, shards=shards)
