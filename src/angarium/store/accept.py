"""Stores messages and their deliveries, in one statement for many requests.

The number of endpoints that a statement reads and of deliveries that it writes is bounded. A message with
more deliveries gets a row in `fan_out` in the same commit, and its deliveries are written later
(store/fan_out.py).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final
from uuid import UUID

import msgspec

from angarium.clock import datetime_at
from angarium.core import ids, patterns
from angarium.core.audit import Actor
from angarium.core.nouns import Message
from angarium.core.read_position import FIRST
from angarium.store import partition
from angarium.store.connection import Connection, Row
from angarium.store.message import message_of
from angarium.store.sql import queries, sparse

BASE: Final = 250  # deliveries that one statement writes,
EACH: Final = 4  # plus this many for each message
LOOKS: Final = 5000  # endpoints that one statement reads


class Item(msgspec.Struct, frozen=True, gc=False):
    """One message to store. `app` is the public id or the uid. With `endpoint_id` only that endpoint gets
    it."""

    id: UUID
    org_id: str
    app: str
    event_type: str
    payload: bytes
    event_id: str | None
    channels: tuple[str, ...]
    tags: tuple[str, ...]
    expires_at: datetime
    key: bytes | None
    endpoint_id: UUID | None
    due_at: float
    content_type: str | None = None  # None: application/json
    actor: Actor | None = None  # who sends the test to the one endpoint
    trace: bytes | None = None  # the span of its acceptance, if it is sampled


class NewDelivery(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A delivery just committed, with everything that a lane needs to send it without a query. Processes send
    it to each other, so a change of its fields changes dispatch/peer/frame.py's MAGIC."""

    app_id: UUID
    endpoint_id: UUID
    message_id: UUID
    shard: int
    fifo: bool
    revision: int  # of the endpoint when the message was matched
    due_at: float
    event_type: str
    payload: bytes | None  # None: the lane reads it
    expires_at: float  # of the payload
    test: bool = False  # sent to this endpoint only
    content_type: str | None = None
    seq: int = FIRST  # its place in the order of acceptance, if it has one
    trace: bytes | None = None  # the span of the message's acceptance, if it is sampled


class Stored(msgspec.Struct, frozen=True, gc=False):
    """The result for one item. `app_id` is None if there is no such application. `stored` is False for a
    duplicate, and if it is `refused`, because the application has reached its limit of messages. `late`: its
    deliveries are written later. `large`: it is the first of the late ones in its batch, whose deliveries
    exceeded the limit."""

    app_id: UUID | None
    stored: bool
    late: bool = False
    large: bool = False
    refused: bool = False


async def accept(
    connection: Connection, items: Sequence[Item], now: float, *, last: Collection[str] = ()
) -> tuple[list[Stored], list[NewDelivery]]:
    """Store the items at the time `now`, epoch seconds. Results are in the order of the items. The caller
    hands over the `NewDelivery` values after the commit. Messages of the applications `last` come last in the
    batch and add nothing to its limit."""
    asked = items
    light = len(items)
    if last:
        items = sorted(asked, key=lambda item: item.app in last)
        light = sum(item.app not in last for item in items)
    refs = [ids.parse(ids.APPLICATION, item.app) for item in items]
    columns = {
        "ids": [item.id for item in items],
        "org_ids": [item.org_id for item in items],
        "app_ids": refs,
        "app_uids": sparse(
            [item.app if ref is None else None for item, ref in zip(items, refs, strict=True)]
        ),
        "event_types": [item.event_type for item in items],
        "patterns": [_covering(item.event_type) for item in items],
        "payloads": [item.payload for item in items],
        "event_ids": sparse([item.event_id for item in items]),
        "channels": sparse([" ".join(item.channels) if item.channels else None for item in items]),
        "tags": sparse([" ".join(item.tags) if item.tags else None for item in items]),
        "expires": [item.expires_at for item in items],
        "keys": sparse([item.key for item in items]),
        "endpoint_ids": sparse([item.endpoint_id for item in items]),
        "due": sparse([None if item.due_at == now else datetime_at(item.due_at) for item in items]),
        "content_types": sparse([item.content_type for item in items]),
        "traces": sparse([item.trace for item in items]),
        "now": datetime_at(now),
        # the row that ends each message also counts
        "looks": LOOKS + len(items),
        "room": BASE + EACH * light + len(items),
    }

    async def write() -> list[Row]:
        return [row async for row in queries.accept(connection, **columns)]

    async def cover() -> None:
        await partition.cover(connection, (item.id for item in items), (item.expires_at for item in items))

    outcomes: dict[UUID, Stored] = {}
    new_deliveries: list[NewDelivery] = []
    by_id = {item.id: item for item in items}
    rows = await partition.covered(connection, write, cover)
    late: set[UUID] = set()
    while rows and rows[-1]["late"]:
        late.add(rows.pop()["id"])
    for message_id, app_id, stored, _, endpoint_id, shard, fifo, revision, seq in rows:
        if message_id not in outcomes:
            outcomes[message_id] = Stored(
                app_id, stored is True, message_id in late, refused=stored is None and app_id is not None
            )
        if endpoint_id is not None:
            item = by_id[message_id]
            new_deliveries.append(
                NewDelivery(
                    app_id,
                    endpoint_id,
                    item.id,
                    shard,
                    fifo,
                    revision,
                    item.due_at,
                    item.event_type,
                    item.payload,
                    item.expires_at.timestamp(),
                    item.endpoint_id is not None,
                    item.content_type,
                    seq or FIRST,
                    item.trace,
                )
            )
    if late:
        large = next(item.id for item in items if item.id in late)
        outcomes[large] = msgspec.structs.replace(outcomes[large], large=True)
    return [outcomes[item.id] for item in asked], new_deliveries


@lru_cache(maxsize=4096)
def _covering(event_type: str) -> str:
    return " ".join(patterns.covering(event_type))


async def accepted_before(connection: Connection, keys: Sequence[bytes], now: float) -> dict[bytes, Message]:
    """The messages that were stored with these idempotency keys, by key."""
    rows = queries.accepted_before(connection, keys=keys, now=datetime_at(now))
    return {row["key"]: message_of(row, row["id"], row["payload"]) async for row in rows}
