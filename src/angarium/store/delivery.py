"""Deliveries as people ask about them and change them: what an endpoint or a message is owed, resend,
recover, replay, cancel. Sending has its own verbs (`load`, `settle`).

What is asked for while an endpoint is disabled waits: it has no due time, so no lane sees it. Enabling the
endpoint releases it, deleting the endpoint cancels it. Disabling cancels what is owed on its schedule, and
has manual attempts wait.

Lock order, so that no two transactions wait for each other: background task, endpoint, fan-out, delivery.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from angarium.core.log_filter import LogFilter, LogKey, LogStatus
from angarium.core.nouns import Delivery, Message, State
from angarium.core.patterns import covers, is_event_type
from angarium.store import fan_out, log, partition, payload, stretch
from angarium.store.connection import Connection, Row
from angarium.store.hint import lane_hint
from angarium.store.message import Filter, Page, message_of
from angarium.store.shard import shard_of
from angarium.store.sql import queries, walk
from angarium.store.stretch import HIGHEST, LOWEST

SLICE: Final = 1000  # deliveries or messages looked at in one step of a background task


@dataclass(frozen=True, slots=True)
class Target:
    """What replaying needs to know of an endpoint."""

    id: UUID
    app_id: UUID
    shard: int
    fifo: bool
    event_types: tuple[str, ...] | None
    channels: tuple[str, ...] | None
    disabled_at: datetime | None

    def wants(self, event_type: str, channels: Iterable[str]) -> bool:
        """Whether a message of this type and these channels would be owed to the endpoint today."""
        if self.channels is not None and set(self.channels).isdisjoint(channels):
            return False
        return covers(self.event_types, event_type)


@dataclass(frozen=True, slots=True)
class Owed:
    """A message as one endpoint was owed it."""

    delivery: Delivery
    message: Message


@dataclass(frozen=True, slots=True)
class Destination:
    """An endpoint as one message was owed to it."""

    id: UUID
    uid: str | None
    url: str
    description: str
    version: int
    rate_limit: int | None
    event_types: tuple[str, ...] | None
    channels: tuple[str, ...] | None
    disabled: bool
    deleted: bool
    created_at: datetime
    updated_at: datetime
    delivery: Delivery


@dataclass(frozen=True, slots=True)
class Slice:
    """What one step did: how many deliveries it owes now, and where the next step begins (None: done)."""

    marked: int
    after: UUID | None


def _count(status: str) -> int:
    return int(status.rpartition(" ")[2])


def _tuple(values: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(values)


def _target(row: Row) -> Target | None:
    if row is None:
        return None
    return Target(
        row["id"], row["app_id"], row["shard"], row["fifo"],
        _tuple(row["event_types"]), _tuple(row["channels"]), row["disabled_at"],
    )  # fmt: skip


async def target(
    conn: Connection, app_id: UUID, *, endpoint_id: UUID | None = None, uid: str | None = None
) -> Target | None:
    """A living endpoint of the application, by its id or by the operator's own id."""
    if endpoint_id is not None:
        return _target(await queries.delivery_target_by_id(conn, app_id=app_id, id=endpoint_id))
    if uid is None or not is_event_type(uid):  # the same characters; anything else names nothing
        return None
    return _target(await queries.delivery_target_by_uid(conn, app_id=app_id, uid=uid))


async def hold_target(conn: Connection, app_id: UUID, endpoint_id: UUID) -> Target | None:
    """The same, held against being disabled or deleted until the transaction ends."""
    return _target(await queries.delivery_target_hold(conn, app_id=app_id, id=endpoint_id))


async def owed_by_endpoint(
    conn: Connection, app_id: UUID, endpoint_id: UUID, page: Page, wanted: Filter,
    now: datetime, *, statuses: Collection[LogStatus] | None, with_payload: bool,
) -> list[Owed]:  # fmt: skip
    """The messages an endpoint is or was owed; those of any status when `statuses` is None."""
    query = walk("delivery_attempted", upwards=page.upwards)
    search = log.Search(app_id, [endpoint_id], LogFilter(endpoint_id=endpoint_id), now)

    async def end(low: UUID, high: UUID, rows: int) -> UUID | None:
        between = log.Stretch(LogKey(low, LOWEST), LogKey(high, HIGHEST))
        key = await log.end(conn, search, between, rows, upwards=page.upwards)
        return None if key is None else key.message_id

    def part(low: UUID, high: UUID, limit: int) -> AsyncIterator[Row]:
        rows: AsyncIterator[Row] = query(
            conn, app_id=app_id, endpoint_id=endpoint_id, shard=shard_of(endpoint_id), low_message=low,
            high_message=high, reach=None, limit=limit, channel=wanted.channel, tag=wanted.tag,
            statuses=None if statuses is None else log.numbers(statuses), event_types=wanted.event_types,
        )  # fmt: skip
        return rows

    found = await stretch.read(page.low, page.high, page.limit, end, part, upwards=page.upwards)
    bodies: dict[UUID, bytes] = {}
    if with_payload:
        bodies = await payload.bodies(conn, {row["message_id"]: row["expires_at"] for row in found}, now)
    return [
        Owed(
            _delivery(row, endpoint_id, row["message_id"], app_id),
            message_of(row, row["message_id"], bodies.get(row["message_id"])),
        )
        for row in found
    ]


async def destinations(conn: Connection, app_id: UUID, message_id: UUID, page: Page) -> list[Destination]:
    """The endpoints a message is or was owed to, deleted ones too."""
    query = walk("delivery_destinations", upwards=page.upwards)
    rows = query(conn, app_id=app_id, message_id=message_id, low=page.low, high=page.high, limit=page.limit)
    return [
        Destination(
            row["id"], row["uid"], row["url"], row["description"], row["version"], row["rate_limit"],
            _tuple(row["event_types"]), _tuple(row["channels"]), row["disabled_at"] is not None,
            row["deleted_at"] is not None, row["created_at"], row["updated_at"],
            _delivery(row, row["id"], message_id, app_id),
        )
        async for row in rows
    ]  # fmt: skip


def _delivery(row: Row, endpoint_id: UUID, message_id: UUID, app_id: UUID) -> Delivery:
    return Delivery(
        app_id, endpoint_id, message_id, State(row["state"]), row["failures"], row["due_at"], row["manual_at"]
    )


def due(target: Target, now: datetime) -> datetime | None:
    """When what is asked for now is due: what is asked of a disabled endpoint waits until it is enabled."""
    return now if target.disabled_at is None else None


async def resend(conn: Connection, target: Target, message_id: UUID, now: datetime) -> None:
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
        await hint(conn, target)


async def resend_queued(
    conn: Connection,
    target: Target,
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


async def resend_over(conn: Connection, target: Target, message_ids: Sequence[UUID], now: datetime) -> int:
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
    conn: Connection, target: Target, after: UUID, until: UUID, now: datetime, limit: int = SLICE
) -> Slice:
    """Owe one manual attempt to each of the next `limit` lost deliveries with after < message id <= until."""
    seen = [
        row["message_id"]
        async for row in queries.delivery_recover_scan(
            conn, app_id=target.app_id, endpoint_id=target.id, after=after, until=until, limit=limit
        )
    ]
    if not seen:
        return Slice(0, None)
    due_at = due(target, now)
    marked: int = await queries.resend_recover(
        conn, app_id=target.app_id, endpoint_id=target.id, shard=target.shard, fifo=target.fifo,
        due_at=due_at, now=now, **_span(seen),
    )  # fmt: skip
    if marked and due_at is not None:
        await hint(conn, target)
    return Slice(marked, seen[-1] if len(seen) == limit else None)


async def count_lost(
    conn: Connection, target: Target, after: UUID, until: UUID, now: datetime, limit: int
) -> int:
    """How many deliveries with after < message id <= until `recover` would owe again, at most `limit`."""
    return int(
        await queries.delivery_count_lost(
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
    conn: Connection, target: Target, after: UUID, until: UUID, now: datetime, limit: int = SLICE
) -> Slice:
    """Owe those of the next `limit` messages that the endpoint wants and never was owed."""
    seen = [
        row
        async for row in queries.delivery_replay_scan(
            conn, app_id=target.app_id, endpoint_id=target.id, after=after, until=until, now=now, limit=limit
        )
    ]
    if not seen:
        return Slice(0, None)
    wanted = [
        row["id"] for row in seen if row["kept"] and target.wants(row["event_type"], row["channels"] or ())
    ]
    marked: int = await queries.resend_missing(
        conn, app_id=target.app_id, endpoint_id=target.id, shard=target.shard, fifo=target.fifo,
        due_at=due(target, now), message_ids=wanted, **_span(wanted),
    )  # fmt: skip
    if marked and target.disabled_at is None:
        await hint(conn, target)
    return Slice(marked, seen[-1]["id"] if len(seen) == limit else None)


async def cancel_pending(
    conn: Connection, app_id: UUID, endpoint_id: UUID, before: UUID | None, limit: int, now: datetime,
    *, wait: bool = False,
) -> int:  # fmt: skip
    """Cancel at most `limit` of what the endpoint is owed, of messages before `before`; gives how many.
    Manual attempts `wait` until it is enabled, or are canceled too."""
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
    """Cancel at most `limit` queued deliveries of an endpoint if it is disabled or deleted. In a transaction;
    gives how many."""
    target = await hold_target(conn, app_id, endpoint_id)
    if target is not None and target.disabled_at is None:
        return 0
    return await cancel_pending(conn, app_id, endpoint_id, None, limit, now, wait=target is not None)


async def forget_waiting(conn: Connection, app_id: UUID, endpoint_id: UUID, limit: int, now: datetime) -> int:
    """Cancel at most `limit` of what waits for a deleted endpoint to be enabled; gives how many."""

    async def cancel() -> int:
        count: int = await queries.cancel_waiting(
            conn, app_id=app_id, endpoint_id=endpoint_id, limit=limit, now=now
        )
        return count

    return await _recording(conn, endpoint_id, limit, cancel)


async def _recording(
    conn: Connection, endpoint_id: UUID, limit: int, cancel: Callable[[], Awaitable[int]]
) -> int:
    """Cancel, with the partitions that the records go to: those of old messages may be gone."""

    async def cover() -> None:
        rows = queries.cancel_message_ids(
            conn, shard=shard_of(endpoint_id), endpoint_id=endpoint_id, limit=limit
        )
        await partition.cover(conn, [row["message_id"] async for row in rows])

    return await partition.covered(conn, cancel, cover)


async def release(
    conn: Connection, app_id: UUID, endpoint_id: UUID, now: datetime, limit: int, *, fifo: bool
) -> int:
    """Have at most `limit` of what waited for the endpoint to be enabled sent now; gives how many."""
    released = _count(
        await queries.release(conn, app_id=app_id, endpoint_id=endpoint_id, now=now, limit=limit, fifo=fifo)
    )
    if released:
        await queries.delivery_hint(conn, hint=lane_hint(app_id, endpoint_id))
    return released


async def cancel_message(conn: Connection, app_id: UUID, message_id: UUID, now: datetime) -> int:
    """Cancel what is still owed of one message, whose payload is gone; gives how many."""
    message = {"app_id": app_id, "message_id": message_id, "now": now}
    await fan_out.forget(conn, message_id)
    first: int = await queries.cancel_message_pending(conn, **message)
    again: int = await queries.cancel_message_retry(conn, **message)
    return first + again


async def hint(conn: Connection, target: Target) -> None:
    """Tell the owner of the endpoint's lane that there is work, when the transaction commits."""
    await queries.delivery_hint(conn, hint=lane_hint(target.app_id, target.id))


async def retries(
    conn: Connection, app_id: UUID, endpoint_id: UUID, message_ids: Iterable[UUID]
) -> dict[UUID, tuple[int, datetime]]:
    """Of those messages that the endpoint is still owed: the attempts made, and when the next is due."""
    rows = queries.delivery_retries(
        conn,
        app_id=app_id,
        endpoint_id=endpoint_id,
        shard=shard_of(endpoint_id),
        message_ids=list(message_ids),
    )
    return {
        row["message_id"]: (row["attempts"], row["retry_at"])
        async for row in rows
        if row["retry_at"] is not None
    }
