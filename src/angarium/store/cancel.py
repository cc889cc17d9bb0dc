"""Cancels queued deliveries of an endpoint or of a message, without an attempt.

When an endpoint is disabled, manual attempts can wait until it is enabled instead. Lock order, to prevent
deadlocks: background task, endpoint, fan-out, delivery.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from uuid import UUID

from angarium.store import fan_out, partition
from angarium.store.connection import Connection
from angarium.store.shard import shard_of
from angarium.store.sql import queries
from angarium.store.target import hold_target


async def cancel_pending(
    conn: Connection, app_id: UUID, endpoint_id: UUID, before: UUID | None, limit: int, now: datetime,
    *, wait: bool = False,
) -> int:  # fmt: skip
    """Cancel at most `limit` queued deliveries of the endpoint, of messages before `before`. Returns how
    many. `wait`: keep manual attempts until the endpoint is enabled; otherwise they are canceled too."""
    lane = {"app_id": app_id, "endpoint_id": endpoint_id, "before": before, "now": now}

    async def cancel() -> int:
        first: int = await queries.cancel_pending(conn, **lane, shard=shard_of(endpoint_id), limit=limit)
        if first >= limit:
            return first
        again: int = await queries.cancel_retry(conn, **lane, limit=limit - first, wait=wait)
        return first + again

    return await _recording(conn, endpoint_id, limit, cancel)


async def cancel_stranded(
    conn: Connection, app_id: UUID, endpoint_id: UUID, now: datetime, limit: int
) -> int:
    """Cancel at most `limit` queued deliveries of an endpoint if it is disabled or deleted. Returns how many.
    Call it in a transaction."""
    target = await hold_target(conn, app_id, endpoint_id)
    if target is not None and target.disabled_at is None:
        return 0
    return await cancel_pending(conn, app_id, endpoint_id, None, limit, now, wait=target is not None)


async def cancel_waiting(conn: Connection, app_id: UUID, endpoint_id: UUID, limit: int, now: datetime) -> int:
    """Cancel at most `limit` deliveries that wait for a deleted endpoint to be enabled. Returns how many."""

    async def cancel() -> int:
        count: int = await queries.cancel_waiting(
            conn, app_id=app_id, endpoint_id=endpoint_id, limit=limit, now=now
        )
        return count

    return await _recording(conn, endpoint_id, limit, cancel)


async def _recording(
    conn: Connection, endpoint_id: UUID, limit: int, cancel: Callable[[], Awaitable[int]]
) -> int:
    """Cancel, and create the partitions of the records if they were dropped with old messages."""

    async def cover() -> None:
        rows = queries.cancel_message_ids(
            conn, shard=shard_of(endpoint_id), endpoint_id=endpoint_id, limit=limit
        )
        await partition.cover(conn, [row["message_id"] async for row in rows])

    return await partition.covered(conn, cancel, cover)


async def cancel_message(conn: Connection, app_id: UUID, message_id: UUID, now: datetime) -> int:
    """Cancel the queued deliveries of one message, whose payload was deleted. Returns how many."""
    message = {"app_id": app_id, "message_id": message_id, "now": now}
    await fan_out.stop(conn, message_id)
    first: int = await queries.cancel_message_pending(conn, **message)
    again: int = await queries.cancel_message_retry(conn, **message)
    return first + again
