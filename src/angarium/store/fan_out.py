"""Writes the deliveries of messages that have too many for the statement that accepts them.

Such a message waits in the table `fan_out`, which is written in the commit that accepts it. Its deliveries
are written in slices. A slice is one transaction that also stores the progress, so no delivery is lost or
written twice.

- The messages of an application are processed in order of acceptance, by one process at a time.
- An endpoint gets a message if it existed when the message was accepted and matches it when the slice is
  written. Endpoints that are disabled or deleted by then get nothing.
- A delivery that is requested manually before its slice is written, is written immediately.
- In a first-in-first-out lane, a delivery has the place at which its message was accepted. While messages of
  an application wait here, later messages for such a lane wait behind them (queries/accept.sql).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from angarium.clock import datetime_at
from angarium.core import patterns
from angarium.core.read_position import FIRST
from angarium.store.accept import NewDelivery
from angarium.store.connection import Connection, Row
from angarium.store.database import Database
from angarium.store.sql import queries, sparse
from angarium.store.stretch import LOWEST
from angarium.store.target import ReplayTarget

ROOM: Final = 250  # deliveries that one slice writes
LOOKS: Final = 5000  # endpoints that one slice reads
MESSAGES: Final = 100  # messages that one slice takes
BYTES: Final = 1024 * 1024  # of payloads that are handed over; lanes load the others


@dataclass(frozen=True, slots=True)
class FanOutSlice:
    """The deliveries that were written, how many messages are completed, and the spans of the acceptance of
    those messages that are sampled."""

    new_deliveries: list[NewDelivery]
    done: int
    traces: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message that is locked until the transaction ends, and its progress."""

    id: UUID
    seq: int
    due_at: datetime
    scheduled: bool
    after_id: UUID | None
    written: Sequence[UUID] | None
    event_type: str
    channels: Sequence[str] | None
    endpoint_id: UUID | None
    expires_at: datetime
    trace: bytes | None


@dataclass(frozen=True, slots=True)
class FanOutBacklog:
    """How many messages wait, of how many applications, and the oldest of them."""

    messages: int
    applications: int
    oldest: UUID | None


async def applications(connection: Connection, after: UUID, limit: int) -> list[UUID]:
    """The next applications after `after` that have waiting messages, at most `limit`."""
    return [row["app_id"] async for row in queries.fan_out_applications(connection, after=after, limit=limit)]


async def write(database: Database, app_id: UUID, now: float) -> FanOutSlice | None:
    """Write a slice of an application. Returns None if no message waits, or another process has them."""
    async with database.transaction() as connection:
        held = await claim(connection, app_id, MESSAGES)
        if held is None:
            return None
        written = await write_slice(connection, app_id, held, now)
        owing = {row["message_id"] for row in written if row["endpoint_id"] is not None}
        bodies = await _bodies(connection, [one for one in held if one.id in owing], now)
    by_id = {one.id: one for one in held}
    new_deliveries = [
        NewDelivery(
            app_id=app_id,
            endpoint_id=row["endpoint_id"],
            message_id=row["message_id"],
            shard=row["shard"],
            fifo=row["fifo"],
            revision=row["revision"],
            due_at=by_id[row["message_id"]].due_at.timestamp(),
            event_type=by_id[row["message_id"]].event_type,
            payload=bodies[row["message_id"]]["body"],
            expires_at=by_id[row["message_id"]].expires_at.timestamp(),
            test=by_id[row["message_id"]].endpoint_id is not None,
            content_type=bodies[row["message_id"]]["content_type"],
            seq=by_id[row["message_id"]].seq if row["fifo"] else FIRST,
            trace=by_id[row["message_id"]].trace,
        )
        for row in written
        if row["endpoint_id"] is not None
    ]
    touched = {row["message_id"] for row in written}
    traces = [one.trace for one in held if one.trace is not None and one.id in touched]
    return FanOutSlice(new_deliveries, len(written) - len(new_deliveries), traces)


async def claim(connection: Connection, app_id: UUID, limit: int) -> list[Claimed] | None:
    """The next messages of an application, at most `limit`, locked until the transaction ends. Returns None
    if none waits, or another process has them. Messages that no longer exist are removed."""
    waiting = [row async for row in queries.fan_out_claim(connection, app_id=app_id, messages=limit)]
    if not waiting:
        return None
    found = [row["message_id"] for row in waiting]
    rows = queries.fan_out_messages(connection, app_id=app_id, ids=found, first=min(found), last=max(found))
    messages = {row["id"]: row async for row in rows}
    held = []
    for row in waiting:
        message = messages.get(row["message_id"])
        if message is None:
            await stop(connection, row["message_id"])
            continue
        held.append(
            Claimed(
                row["message_id"], row["seq"], row["due_at"], row["scheduled"], row["after_id"],
                row["written"], message["event_type"], message["channels"], message["endpoint_id"],
                message["expires_at"], message["trace"],
            )
        )  # fmt: skip
    return held


async def write_slice(connection: Connection, app_id: UUID, held: Sequence[Claimed], now: float) -> list[Row]:
    """Write the next deliveries of claimed messages. Returns a row for each, and a row without an endpoint
    for each completed message."""
    rows = queries.fan_out_slice(
        connection,
        app_id=app_id,
        message_ids=[one.id for one in held],
        seqs=[one.seq for one in held],
        due=[one.due_at for one in held],
        scheduled=[one.scheduled for one in held],
        afters=[one.after_id or LOWEST for one in held],
        endpoint_ids=sparse([one.endpoint_id for one in held]),
        patterns=[" ".join(patterns.covering(one.event_type)) for one in held],
        channels=sparse([" ".join(one.channels) if one.channels else None for one in held]),
        written=sparse([" ".join(map(str, one.written)) if one.written else None for one in held]),
        # the row that ends each message also counts
        looks=LOOKS + len(held),
        room=ROOM + len(held),
        now=datetime_at(now),
    )
    return [row async for row in rows]


async def _bodies(connection: Connection, messages: Sequence[Claimed], now: float) -> dict[UUID, Row]:
    if not messages:
        return {}
    expires = [one.expires_at for one in messages]
    rows = queries.fan_out_bodies(
        connection,
        ids=[one.id for one in messages],
        expires=expires,
        first=min(expires),
        last=max(expires),
        bytes=BYTES,
        now=datetime_at(now),
    )
    return {row["id"]: row async for row in rows}


async def write_one(connection: Connection, target: ReplayTarget, message_id: UUID) -> None:
    """Write the delivery of a message to one endpoint, if it is not written yet, because a manual attempt was
    requested. Call it in a transaction."""
    held = await queries.fan_out_hold(connection, app_id=target.app_id, message_id=message_id)
    if held is None or (held["after_id"] is not None and held["after_id"] >= target.id):
        return
    wanted = target.disabled_at is None and (
        held["endpoint_id"] == target.id
        if held["endpoint_id"] is not None
        else target.wants(held["event_type"], held["channels"] or ())
    )
    await queries.fan_out_write(
        connection, app_id=target.app_id, endpoint_id=target.id, message_id=message_id, wanted=wanted
    )


async def stop(connection: Connection, message_id: UUID) -> None:
    """Stop writing deliveries of a message."""
    await queries.fan_out_stop(connection, message_id=message_id)


async def waits(connection: Connection, app_id: UUID, message_id: UUID) -> bool:
    """Whether deliveries of a message are not written yet."""
    return bool(await queries.fan_out_waits(connection, app_id=app_id, message_id=message_id))


async def waiting(connection: Connection) -> FanOutBacklog:
    """The number of waiting messages, for operators."""
    row = await queries.fan_out_waiting(connection)
    return FanOutBacklog(row["messages"], row["applications"], row["oldest"])
