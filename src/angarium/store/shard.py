"""Takes and releases shards by session advisory locks of PostgreSQL, which a crash releases at once.

All calls of a dispatcher use one dedicated connection, which is open as long as it owns shards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from angarium.store.connection import Connection
from angarium.store.database import GONE
from angarium.store.sql import queries

SHARDS: Final = 64
PULLED: Final = SHARDS  # the shard of listeners (store/listener.py); no dispatcher owns it
CHANNEL: Final = "angarium"
SILENCE: Final = 10.0  # seconds without a query after which an owner is evicted; it sends one every second
GAP: Final = 2.0  # maximum seconds between two checks that count towards SILENCE
TIMEOUT: Final = 8.0  # seconds without a response after which an owner stops sending, before it is evicted
SESSION: Final = {"name": "dispatcher"} | GONE


@dataclass(frozen=True, slots=True)
class Members:
    """The sessions of dispatchers. `marks`: by session, what changes with every query of it (None: this role
    may not see it). They are times of the database's clock, so only compare them for equality. `staying`: how
    many share the shards."""

    marks: Mapping[int, datetime | None]
    staying: int


def shard_of(endpoint_id: UUID) -> int:
    """The shard of an endpoint's lane, from the random bits at the end of its id."""
    return endpoint_id.int % SHARDS


async def join(connection: Connection) -> None:
    """Count this connection among the dispatchers until it is closed."""
    await queries.shard_join(connection)


async def leave(connection: Connection) -> None:
    """From now on this connection takes no shards, so the others' shares are larger."""
    await queries.shard_leave(connection)


async def members(connection: Connection) -> Members:
    """The sessions of all dispatchers."""
    rows = [row async for row in queries.shard_members(connection)]
    return Members({row["pid"]: row["mark"] for row in rows}, sum(not row["leaving"] for row in rows))


async def evict(connection: Connection, silent: Mapping[int, datetime]) -> int:
    """End the sessions of other owners that have been silent for too long, unless their marks have changed.
    Returns how many were ended.

    They are paused, hang or are unreachable. PostgreSQL's own timeouts do not suffice: the host of a hanging
    process still acknowledges keepalives, and data that could not be sent can delay these timeouts.
    """
    count: int = await queries.shard_evict(connection, pids=list(silent), marks=list(silent.values()))
    return count


async def take(connection: Connection, shards: Sequence[int]) -> list[int]:
    """Take those of these shards that are free. Returns them."""
    return [shard async for shard, taken in queries.shard_take(connection, shards=shards) if taken]


async def release(connection: Connection, shards: Sequence[int]) -> None:
    """Release these shards."""
    await queries.shard_release(connection, shards=shards)
