"""Owe: what is to be sent once more, or for the first time, because somebody asks for it.

What is asked for while an endpoint is disabled waits: it has no due time, so no lane sees it. Enabling the
endpoint releases it, deleting the endpoint cancels it.

Lock order, so that no two transactions wait for each other: background task, endpoint, fan-out, delivery.
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

SLICE: Final = 1000  # deliveries or messages looked at in one step of a background task


@dataclass(frozen=True, slots=True)
class RequeueSlice:
    """What one step did: how many deliveries it owes now, and where the next step begins (None: done)."""

    marked: int
    after: UUID | None


async def resend(conn: Connection, target: ReplayTarget, message_id: UUID, now: datetime) -> None:
    """Owe one manual attempt now, whether or not the endpoint ever was owed the message; in a transaction."""
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
    """Owe one manual attempt of each of these that is queued; gives how many. Those under way are waited
    for, or passed over together with those that are owed one already."""
    query = queries.resend_queued_many if passing_over else queries.resend_queued
    count: int = await query(
        conn, app_id=target.app_id, endpoint_ids=[target.id] * len(message_ids), message_ids=message_ids,
        shards=[shard_of(target.id)] * len(message_ids), due_at=due(target, now), now=now,
    )  # fmt: skip
    return count


async def resend_over(
    conn: Connection, target: ReplayTarget, message_ids: Sequence[UUID], now: datetime
) -> int:
    """Owe one manual attempt of each of these that is over; gives how many."""
    count: int = await queries.resend_over(
        conn, app_id=target.app_id, endpoint_id=target.id, message_ids=message_ids, shard=target.shard,
        fifo=target.fifo, due_at=due(target, now), now=now, **_span(message_ids),
    )  # fmt: skip
    return count


def _span(message_ids: Sequence[UUID]) -> dict[str, UUID]:
    """From which message to which, which spares the partitions of other days."""
    return {"first": min(message_ids, default=LOWEST), "last": max(message_ids, default=LOWEST)}


async def recover(
    conn: Connection, target: ReplayTarget, after: UUID, until: UUID, now: datetime, limit: int = SLICE
) -> RequeueSlice:
    """Owe one manual attempt to each of the next `limit` undelivered with after < message id <= until."""
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
    """How many deliveries with after < message id <= until `recover` would owe again, at most `limit`."""
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
    """Owe those of the next `limit` messages that the endpoint wants and never was owed."""
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
    """Have at most `limit` of what waited for the endpoint to be enabled sent now; gives how many."""
    status: str = await queries.release(
        conn, app_id=app_id, endpoint_id=endpoint_id, now=now, limit=limit, fifo=fifo
    )
    released = int(status.rpartition(" ")[2])
    if released:
        await queries.delivery_hint(conn, hint=lane_hint(app_id, endpoint_id))
    return released
