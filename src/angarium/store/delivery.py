"""Lists the deliveries of an endpoint or of a message, wherever they are recorded.

`requeue`, `cancel`, `load` and `complete` change them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from angarium.core.log_filter import LogFilter, LogKey, LogStatus
from angarium.core.nouns import Delivery, Message, State
from angarium.store import log, stretch
from angarium.store.connection import Connection, Row
from angarium.store.message import Filter, IdRange, bodies, message_of
from angarium.store.shard import shard_of
from angarium.store.sql import as_tuple, queries, walk
from angarium.store.stretch import HIGHEST, LOWEST


@dataclass(frozen=True, slots=True)
class DeliveryMessage:
    """A message and its delivery to one endpoint."""

    delivery: Delivery
    message: Message


@dataclass(frozen=True, slots=True)
class Destination:
    """An endpoint and the delivery of one message to it."""

    id: UUID
    uid: str | None
    url: str
    description: str
    version: int
    rate_limit: int | None
    event_types: tuple[str, ...] | None
    channels: tuple[str, ...] | None
    disabled_at: datetime | None
    deleted: bool
    created_at: datetime
    updated_at: datetime
    delivery: Delivery


async def by_endpoint(
    conn: Connection, app_id: UUID, endpoint_id: UUID, page: IdRange, wanted: Filter,
    now: datetime, *, statuses: Collection[LogStatus] | None, with_payload: bool,
) -> list[DeliveryMessage]:  # fmt: skip
    """The deliveries of an endpoint with their messages; of any status if `statuses` is None."""
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
    expiries = {row["message_id"]: row["expires_at"] for row in found} if with_payload else {}
    payloads = await bodies(conn, expiries, now)
    return [
        DeliveryMessage(
            _delivery(row, endpoint_id, row["message_id"], app_id),
            message_of(row, row["message_id"], payloads.get(row["message_id"])),
        )
        for row in found
    ]


async def destinations(conn: Connection, app_id: UUID, message_id: UUID, page: IdRange) -> list[Destination]:
    """The endpoints that have a delivery of the message, including deleted ones."""
    query = walk("delivery_destinations", upwards=page.upwards)
    rows = query(
        conn, app_id=app_id, message_id=message_id, low=page.low, high=page.high, limit=page.limit,
        since=log.had_by(message_id),
    )  # fmt: skip
    return [
        Destination(
            row["id"], row["uid"], row["url"], row["description"], row["version"], row["rate_limit"],
            as_tuple(row["event_types"]), as_tuple(row["channels"]), row["disabled_at"],
            row["deleted_at"] is not None, row["created_at"], row["updated_at"],
            _delivery(row, row["id"], message_id, app_id),
        )
        async for row in rows
    ]  # fmt: skip


def _delivery(row: Row, endpoint_id: UUID, message_id: UUID, app_id: UUID) -> Delivery:
    return Delivery(
        app_id, endpoint_id, message_id, State(row["state"]), row["failures"], row["due_at"], row["manual_at"]
    )


async def retries(
    conn: Connection, app_id: UUID, endpoint_id: UUID, message_ids: Iterable[UUID]
) -> dict[UUID, tuple[int, datetime]]:
    """The number of attempts made and when the next is due, by message, for those that are queued."""
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
