"""Takes and releases shards by session advisory locks of PostgreSQL, which a crash releases at once.

All calls of a dispatcher use one dedicated connection, which is open as long as it owns shards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from angarium.store.connection import Connection, Row
from angarium.store.database import GONE
from angarium.store.sql import queries

SHARDS: Final = 64
PULLED: Final = SHARDS  # the shard of listeners (store/listener.py); no dispatcher owns it
CHANNEL: Final = "angarium"
SILENCE: Final = 10.0  # seconds without a query after which an owner is evicted; it sends one every second
GAP: Final = 2.0  # maximum seconds between two checks that count towards SILENCE
TIMEOUT: Final = 8.0  # seconds without a response after which an owner stops sending, before it is evicted
SESSION: Final = {"name": "dispatcher"} | GONE


class Announcement(NamedTuple):
    """What a dispatcher announces: where its process listens, the key that encrypts what is sent to it
    (sealed), and the shards that it owns, each with a tenure: a number that changes whenever it is taken."""

    instance: bytes
    addresses: tuple[str, ...]
    sealed_key: bytes
    tenures: Mapping[int, int]


class Member(NamedTuple):
    """The session of a dispatcher. `mark` changes with every query of the session (None: this role may not
    see it). Marks are times of the database's clock, so only compare them for equality. `leaving`: it takes
    no share of the shards."""

    pid: int
    mark: datetime | None
    leaving: bool
    announcement: Announcement | None


def shard_of(endpoint_id: UUID) -> int:
    """The shard of an endpoint's lane, from the random bits at the end of its id."""
    return endpoint_id.int % SHARDS


async def join(connection: Connection) -> None:
    """Count this connection among the dispatchers until it is closed."""
    await queries.shard_withdraw(connection)
    await queries.shard_join(connection)


async def leave(connection: Connection) -> None:
    """From now on this connection takes no shards, so the others' shares are larger."""
    await queries.shard_leave(connection)


async def members(connection: Connection) -> list[Member]:
    """The sessions of all dispatchers."""
    return [
        Member(row["pid"], row["mark"], row["leaving"], _announced(row))
        async for row in queries.shard_members(connection)
    ]


def _announced(row: Row) -> Announcement | None:
    if row["instance"] is None:
        return None
    tenures = dict(zip(row["shards"], row["tenures"], strict=True))
    return Announcement(row["instance"], tuple(row["addresses"]), row["sealed_key"], tenures)


async def announce(connection: Connection, announcement: Announcement) -> None:
    """Announce this session, instead of what it announced before."""
    await queries.shard_announce(
        connection,
        instance=announcement.instance,
        addresses=announcement.addresses,
        sealed_key=announcement.sealed_key,
        shards=list(announcement.tenures),
        tenures=list(announcement.tenures.values()),
    )


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
