"""Counts messages that an endpoint matches today but has no delivery of. `requeue.replay` sends them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from angarium.core.patterns import EVERYTHING, is_wildcard
from angarium.store.connection import Connection
from angarium.store.shard import shard_of
from angarium.store.sql import queries
from angarium.store.target import ReplayTarget


async def end(conn: Connection, app_id: UUID, after: UUID, until: UUID, rows: int) -> UUID | None:
    """The last message of a stretch of `rows` messages after `after`; None: the stretch reaches `until`."""
    found: UUID | None = await queries.missing_end(
        conn, app_id=app_id, after=after, until=until, rows=rows - 1
    )
    return found


async def count(conn: Connection, target: ReplayTarget, after: UUID, until: UUID, now: datetime) -> int:
    """How many messages with after < id <= until are missing and can be sent `now`."""
    names, prefixes = _patterns(target.event_types)
    found: int = await queries.missing_count(
        conn, app_id=target.app_id, endpoint_id=target.id, shard=shard_of(target.id), after=after,
        until=until, names=names, prefixes=prefixes, channels=target.channels,
        now=now,
    )  # fmt: skip
    return found


def _patterns(event_types: tuple[str, ...] | None) -> tuple[list[str] | None, list[str]]:
    """The exact names, and the prefixes of wildcards. Names None: every event type."""
    if event_types is None or EVERYTHING in event_types:
        return None, []
    names = [one for one in event_types if not is_wildcard(one)]
    return names, [one[:-1] for one in event_types if is_wildcard(one)]
