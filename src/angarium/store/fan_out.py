"""Fan-out: the deliveries of messages that have too many for the statement that accepts them.

Such a message waits in the table `fan_out`, stored in the commit that accepted it. Its deliveries are written
a slice at a time. Each slice is one transaction that also notes how far it came, so no delivery is lost or
written twice.

- One application's messages are taken in order of acceptance, by one process at a time.
- An endpoint gets a message if it was there when the message was accepted, and wants it when its slice is
  written. One that was disabled or deleted meanwhile gets nothing, and a changed subscription counts as it is
  then.
- A delivery that somebody asks for by hand, before its slice is written, is written at that moment.
- In first-in-first-out lanes a delivery has the place at which its message was accepted. While messages of an
  application wait, later ones for such a lane wait behind them (queries/accept.sql).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from angarium.clock import datetime_at
from angarium.core import patterns
from angarium.store.accept import Owed
from angarium.store.connection import Connection, Row
from angarium.store.database import Database
from angarium.store.sql import queries, sparse
from angarium.store.stretch import LOWEST
from angarium.store.target import Target

ROOM: Final = 250  # deliveries that one slice writes
LOOKS: Final = 5000  # endpoints that it looks at
MESSAGES: Final = 100  # that it takes
BYTES: Final = 1024 * 1024  # of payloads that are handed over; lanes read the others


@dataclass(frozen=True, slots=True)
class Slice:
    """What was written, and how many messages are done with it."""

    owed: list[Owed]
    done: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many messages wait, of how many applications. `oldest`: the first of them."""

    messages: int
    applications: int
    oldest: UUID | None


async def applications(connection: Connection, after: UUID, limit: int) -> list[UUID]:
    """At most so many applications whose messages wait, the next behind `after`."""
    return [row["app_id"] async for row in queries.fan_out_applications(connection, after=after, limit=limit)]


async def write(database: Database, app_id: UUID, now: float) -> Slice | None:
    """Write a slice of an application; None when no message waits, or somebody else is at them."""
    async with database.transaction() as connection:
        rows = queries.fan_out_claim(connection, app_id=app_id, messages=MESSAGES)
        held = [row async for row in rows]
        if not held:
            return None
        written = await _slice(connection, held, now)
        # a message whose history is over has no deliveries to write
        for row in held:
            if row["event_type"] is None:
                await forget(connection, row["message_id"])
        owing = {row["message_id"] for row in written if row["endpoint_id"] is not None}
        bodies = await _bodies(connection, [row for row in held if row["message_id"] in owing], now)
    by_id = {row["message_id"]: row for row in held}
    owed = [
        Owed(
            app_id=app_id,
            endpoint_id=row["endpoint_id"],
            message_id=row["message_id"],
            shard=row["shard"],
            fifo=row["fifo"],
            revision=row["revision"],
            due_at=by_id[row["message_id"]]["due_at"].timestamp(),
            event_type=by_id[row["message_id"]]["event_type"],
            payload=bodies[row["message_id"]]["body"],
            expires_at=by_id[row["message_id"]]["expires_at"].timestamp(),
            test=by_id[row["message_id"]]["endpoint_id"] is not None,
            content_type=bodies[row["message_id"]]["content_type"],
        )
        for row in written
        if row["endpoint_id"] is not None
    ]
    return Slice(owed, len(written) - len(owed))


async def _slice(connection: Connection, held: Sequence[Row], now: float) -> list[Row]:
    work = [row for row in held if row["event_type"] is not None]
    rows = queries.fan_out_slice(
        connection,
        app_id=held[0]["app_id"],
        message_ids=[row["message_id"] for row in work],
        seqs=[row["seq"] for row in work],
        due=[row["due_at"] for row in work],
        scheduled=[row["scheduled"] for row in work],
        afters=[row["after_id"] or LOWEST for row in work],
        endpoint_ids=sparse([row["endpoint_id"] for row in work]),
        patterns=[" ".join(patterns.covering(row["event_type"])) for row in work],
        channels=sparse([" ".join(row["channels"]) if row["channels"] else None for row in work]),
        written=sparse([" ".join(map(str, row["written"])) if row["written"] else None for row in work]),
        # the row that ends each message counts too
        looks=LOOKS + len(work),
        room=ROOM + len(work),
        now=datetime_at(now),
    )
    return [row async for row in rows]


async def _bodies(connection: Connection, messages: Sequence[Row], now: float) -> dict[UUID, Row]:
    if not messages:
        return {}
    rows = queries.fan_out_bodies(
        connection,
        ids=[row["message_id"] for row in messages],
        expires=[row["expires_at"] for row in messages],
        bytes=BYTES,
        now=datetime_at(now),
    )
    return {row["id"]: row async for row in rows}


async def write_one(connection: Connection, target: Target, message_id: UUID) -> None:
    """Write the delivery of a message to one endpoint, if it is still to be written: somebody asks for it by
    hand. In a transaction."""
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


async def forget(connection: Connection, message_id: UUID) -> None:
    """Write no more deliveries of a message."""
    await queries.fan_out_forget(connection, message_id=message_id)


async def waits(connection: Connection, app_id: UUID, message_id: UUID) -> bool:
    """Whether deliveries of a message are still to be written."""
    return bool(await queries.fan_out_waits(connection, app_id=app_id, message_id=message_id))


async def waiting(connection: Connection) -> Waiting:
    """What waits, for operators."""
    row = await queries.fan_out_waiting(connection)
    return Waiting(row["messages"], row["applications"], row["oldest"])
