"""Puts deliveries into the queue again, or for the first time, for a resend, recover or replay.

A delivery that is requeued while its endpoint is disabled waits: it has no due time, so no lane loads it.
Enabling the endpoint releases it, and deleting the endpoint cancels it. Lock order, to prevent deadlocks:
background task, endpoint, fan-out, delivery.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from angarium.store import fan_out
from angarium.store.connection import Connection
from angarium.store.hint import lane_hint
from angarium.store.shard import shard_of
from angarium.store.sql import queries
from angarium.store.stretch import LOWEST
from angarium.store.target import ReplayTarget, due, hint_target

SLICE: Final = 1000  # deliveries or messages that one step of a background task reads


@dataclass(frozen=True, slots=True)
class RequeueSlice:
    """The result of one step: how many deliveries were requeued, and where the next step starts (None:
    done)."""

    marked: int
    after: UUID | None


async def resend(conn: Connection, target: ReplayTarget, message_id: UUID, now: datetime) -> None:
    """Request a manual attempt, even if the endpoint never had a delivery of the message. Call it in a
    transaction."""
    due_at = due(target, now)
    await fan_out.write_one(conn, target, message_id)
    if not await resend_queued(conn, target, [message_id], now) and not await resend_over(
        conn, target, [message_id], now
    ):
        await queries.resend_new(
            conn, app_id=target.app_id, endpoint_id=target.id, message_id=message_id, shard=target.shard,
            fifo=target.fifo, due_at=due_at, now=now,
        )  # fmt: skip
    if due_at is not None:
        await hint_target(conn, target)


async def resend_queued(
    conn: Connection,
    target: ReplayTarget,
    message_ids: Sequence[UUID],
    now: datetime,
    *,
    passing_over: bool = False,
) -> int:
    """Request a manual attempt of each of these deliveries that is queued. Returns how many. Waits for those
    that are locked, because their attempt is being recorded; `passing_over` skips these, and those that
    already have a manual request."""
    query = queries.resend_queued_many if passing_over else queries.resend_queued
    count: int = await query(
        conn, app_id=target.app_id, endpoint_ids=[target.id] * len(message_ids), message_ids=message_ids,
        shards=[shard_of(target.id)] * len(message_ids), due_at=due(target, now), now=now,
    )  # fmt: skip
    return count


async def resend_over(
    conn: Connection, target: ReplayTarget, message_ids: Sequence[UUID], now: datetime
) -> int:
    """Request a manual attempt of each of these deliveries that has ended. Returns how many."""
    count: int = await queries.resend_over(
        conn, app_id=target.app_id, endpoint_id=target.id, message_ids=message_ids, shard=target.shard,
        fifo=target.fifo, due_at=due(target, now), now=now, **_span(message_ids),
    )  # fmt: skip
    return count


def _span(message_ids: Sequence[UUID]) -> dict[str, UUID]:
    """The first and the last message, so that partitions of other days are not read."""
    return {"first": min(message_ids, default=LOWEST), "last": max(message_ids, default=LOWEST)}


async def recover(
    conn: Connection, target: ReplayTarget, after: UUID, until: UUID, now: datetime, limit: int = SLICE
) -> RequeueSlice:
    """Request a manual attempt of the next `limit` undelivered deliveries with after < message id <=
    until."""
    seen = [
        row["message_id"]
        async for row in queries.delivery_recover_scan(
            conn, app_id=target.app_id, endpoint_id=target.id, after=after, until=until, limit=limit
        )
    ]
    if not seen:
        return RequeueSlice(0, None)
    due_at = due(target, now)
    marked: int = await queries.resend_recover(
        conn, app_id=target.app_id, endpoint_id=target.id, shard=target.shard, fifo=target.fifo,
        due_at=due_at, now=now, **_span(seen),
    )  # fmt: skip
    if marked and due_at is not None:
        await hint_target(conn, target)
    return RequeueSlice(marked, seen[-1] if len(seen) == limit else None)


async def count_undelivered(
    conn: Connection, target: ReplayTarget, after: UUID, until: UUID, now: datetime, limit: int
) -> int:
    """How many deliveries with after < message id <= until `recover` would requeue, counted up to `limit`."""
    return int(
        await queries.delivery_count_undelivered(
            conn,
            app_id=target.app_id,
            endpoint_id=target.id,
            lowest=after,
            after=after,
            until=until,
            now=now,
            limit=limit,
        )
    )


async def replay(
    conn: Connection, target: ReplayTarget, after: UUID, until: UUID, now: datetime, limit: int = SLICE
) -> RequeueSlice:
    """Queue those of the next `limit` messages that the endpoint matches and has no delivery of."""
    seen = [
        row
        async for row in queries.delivery_replay_scan(
            conn, app_id=target.app_id, endpoint_id=target.id, after=after, until=until, now=now, limit=limit
        )
    ]
    if not seen:
        return RequeueSlice(0, None)
    wanted = [
        row["id"] for row in seen if row["kept"] and target.wants(row["event_type"], row["channels"] or ())
    ]
    marked: int = await queries.resend_missing(
        conn, app_id=target.app_id, endpoint_id=target.id, shard=target.shard, fifo=target.fifo,
        due_at=due(target, now), message_ids=wanted, **_span(wanted),
    )  # fmt: skip
    if marked and target.disabled_at is None:
        await hint_target(conn, target)
    return RequeueSlice(marked, seen[-1]["id"] if len(seen) == limit else None)


async def release(
    conn: Connection, app_id: UUID, endpoint_id: UUID, now: datetime, limit: int, *, fifo: bool
) -> int:
    """Make at most `limit` deliveries due that waited for the endpoint to be enabled. Returns how many."""
    status: str = await queries.release(
        conn, app_id=app_id, endpoint_id=endpoint_id, now=now, limit=limit, fifo=fifo
    )
    released = int(status.rpartition(" ")[2])
    if released:
        await queries.delivery_hint(conn, hint=lane_hint(app_id, endpoint_id))
    return released
