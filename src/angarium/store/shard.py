"""Ownership of shards: PostgreSQL's session advisory locks decide, and a crash frees them at once.

Every call is made on one dedicated connection that lives as long as the ownership.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from angarium.store.connection import Connection
from angarium.store.database import GONE
from angarium.store.sql import queries

SHARDS: Final = 64
PULLED: Final = SHARDS  # of endpoints whose deliveries are fetched (store/listener.py); no dispatcher owns it
CHANNEL: Final = "angarium"
SILENCE: Final = 10.0  # seconds after which an owner is evicted; it asks something every second
GAP: Final = 2.0  # the most seconds between two checks that count towards SILENCE
TIMEOUT: Final = 8.0  # seconds without an answer after which an owner stops by itself, before it is evicted
SESSION: Final = {"application_name": "angarium-dispatcher"} | GONE


def shard_of(endpoint_id: UUID) -> int:
    """The shard of an endpoint's lane: ids end in random bits."""
    return endpoint_id.int % SHARDS


async def join(connection: Connection) -> None:
    """Be counted among the dispatchers while the connection lives."""
    await queries.shard_join(connection)


async def members(connection: Connection) -> dict[int, datetime | None]:
    """The sessions of the dispatchers there are, each with a mark that changes with everything it says (None:
    this role may not see it). The database's clock makes the marks, so they say nothing of time."""
    return {pid: mark async for pid, mark in queries.shard_members(connection)}


async def evict(connection: Connection, silent: Mapping[int, datetime]) -> int:
    """End the sessions of other owners that have been silent for too long, unless their marks have changed;
    how many there were.

    They are paused, they hang, or nothing reaches them. Their host may still answer for them, and what
    PostgreSQL could not send them may hold up its own time limits, so those do not suffice.
    """
    count: int = await queries.shard_evict(connection, pids=list(silent), marks=list(silent.values()))
    return count


async def take(connection: Connection, shards: Sequence[int]) -> list[int]:
    """Try to own these shards; those that are free become ours."""
    return [shard async for shard, taken in queries.shard_take(connection, shards=shards) if taken]


async def give(connection: Connection, shards: Sequence[int]) -> None:
    """Let go of these shards."""
    await queries.shard_give(connection, shards=shards)
