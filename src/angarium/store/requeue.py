"""Puts deliveries into the queue again, or for the first time, for a resend, recover or replay.

A delivery that is requeued while its endpoint is disabled waits: it has no due time, so no lane loads it.
Enabling the endpoint releases it, and deleting the endpoint cancels it. Lock order, to prevent deadlocks:
background task, endpoint, fan-out, delivery.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from angarium.core.log_filter import LogFilter, LogKey
from angarium.core.patterns import EVERYTHING, is_wildcard
from angarium.store import fan_out, log
from angarium.store.connection import Connection
from angarium.store.hint import lane_hint
from angarium.store.shard import shard_of
from angarium.store.sql import queries
from angarium.store.stretch import HIGHEST, LOWEST
from angarium.store.target import ReplayTarget, due, hint_target, hold_target

SLICE: Final = 1000  # deliveries or messages that one step of a background task reads
RESEND_SLICE: Final = 500  # deliveries that one step of a resend by filter requeues,
RESEND_READ: Final = 2000  # and reads
Key = TypeVar("Key", UUID, LogKey)


@dataclass(frozen=True, slots=True)
class RequeueSlice(Generic[Key]):
    """The result of one step: how many deliveries were requeued, and after what to continue (None: done)."""

    marked: int
    after: Key | None


@dataclass(frozen=True, slots=True)
class ResendOrder:
    """What to resend: matches of messages up to `until`, after `after`."""

    wanted: LogFilter
    until: UUID
    after: LogKey | None

    @classmethod
    def of(cls, arguments: Mapping[str, Any], cursor: Mapping[str, Any] | None) -> ResendOrder:
        """The order that a background task stores. Raises KeyError or ValueError."""
        after = (cursor or {}).get("after")
        return cls(
            LogFilter.of(arguments["filter"]),
            UUID(arguments["until"]),
            None if after is None else LogKey.parse(after),
        )


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
    skip_busy: bool = False,
) -> int:
    """Request a manual attempt of each of these deliveries that is queued. Returns how many. Waits for those
    that are locked, because their attempt is being recorded; `skip_busy` skips these, and those that
    already have a manual request."""
    query = queries.resend_queued_many if skip_busy else queries.resend_queued
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


async def resend_matching(
    conn: Connection, app_id: UUID, order: ResendOrder, now: datetime, limit: int = RESEND_SLICE
) -> RequeueSlice[LogKey]:
    """Request a manual attempt of each of the next matches, at most `limit`. Call it in a transaction.

    It reads the log from the oldest entry, up to the newest message at the time of the request. A delivery is
    compared with the filter when its slice is processed. Deliveries that cannot be sent are skipped: the
    endpoint is deleted, or is disabled and not named by the filter; the payload was deleted; or a manual
    attempt is already requested.
    """
    found = await log.look_for(conn, app_id, order.wanted, now, sendable=True)
    if found is None:
        return RequeueSlice(0, None)
    search, stretch, _ = found
    stretch = log.Stretch(
        stretch.low if order.after is None else max(stretch.low, order.after),
        min(stretch.high, LogKey(order.until, HIGHEST)),
    )
    end = await log.end(conn, search, stretch, search.rows(RESEND_READ), upwards=True)
    part = stretch if end is None else stretch.until(end, upwards=True)
    keys = [row.key for row in await log.page(conn, search, part, limit, upwards=True)]
    named = order.wanted.endpoint_id is not None
    marked = 0
    for endpoint_id in sorted({key.endpoint_id for key in keys}):
        target = await hold_target(conn, app_id, endpoint_id)
        if target is None or (target.disabled_at is not None and not named):
            continue  # disabled or deleted since the search
        message_ids = [key.message_id for key in keys if key.endpoint_id == endpoint_id]
        resent = await resend_queued(conn, target, message_ids, now, skip_busy=True)
        resent += await resend_over(conn, target, message_ids, now)
        if resent and target.disabled_at is None:
            await hint_target(conn, target)
        marked += resent
    if len(keys) == limit:
        return RequeueSlice(marked, keys[-1])
    return RequeueSlice(marked, None if end is None else stretch.beyond(end, upwards=True).low)


async def recover(
    conn: Connection, target: ReplayTarget, after: UUID, until: UUID, now: datetime, limit: int = SLICE
) -> RequeueSlice[UUID]:
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
) -> RequeueSlice[UUID]:
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


async def missing_end(conn: Connection, app_id: UUID, after: UUID, until: UUID, rows: int) -> UUID | None:
    """The last message of a stretch of `rows` messages after `after`; None: the stretch reaches `until`."""
    found: UUID | None = await queries.missing_end(
        conn, app_id=app_id, after=after, until=until, rows=rows - 1
    )
    return found


async def count_missing(
    conn: Connection, target: ReplayTarget, after: UUID, until: UUID, now: datetime
) -> int:
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
