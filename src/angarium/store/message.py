"""Messages after they were accepted: read, list, forget. Accepting has its own verb (`accept`)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.nouns import Message
from angarium.core.patterns import is_event_type
from angarium.store.sql import queries, walk


@dataclass(frozen=True, slots=True)
class Page:
    """A stretch of ids, `low` and `high` themselves not in it, read from one end: at most `limit` rows."""

    low: UUID
    high: UUID
    limit: int
    upwards: bool = False  # oldest first


@dataclass(frozen=True, slots=True)
class Filter:
    """What a message must have to be listed; None: anything."""

    channel: str | None = None
    tag: str | None = None
    event_types: tuple[str, ...] | None = None


def message_of(row: Any, message_id: UUID) -> Message:
    """The message in a row with its columns; the payload is None when gone or not asked for."""
    return Message(
        id=message_id,
        app_id=row["app_id"],
        event_id=row["event_id"],
        event_type=row["event_type"],
        payload=row["payload"],
        channels=tuple(row["channels"] or ()),
        tags=tuple(row["tags"] or ()),
        expires_at=row["expires_at"],
        created_at=datetime_at(ids.created_at(message_id)),
    )


async def find(conn: Any, app_id: UUID, ref: str) -> UUID | None:
    """The id that a reference stands for: our own id, or the operator's. Our own may not exist."""
    if (own := ids.parse(ids.MESSAGE, ref)) is not None:
        return own
    if not is_event_type(ref):  # the same characters; anything else names nothing
        return None
    found: UUID | None = await queries.message_by_event_id(conn, app_id=app_id, event_id=ref)
    return found


async def get(conn: Any, app_id: UUID, message_id: UUID, *, with_payload: bool = True) -> Message | None:
    row = await queries.message_get(conn, app_id=app_id, id=message_id, with_payload=with_payload)
    return None if row is None else message_of(row, row["id"])


async def has_payload(conn: Any, app_id: UUID, message_id: UUID) -> bool | None:
    """Whether the message can still be sent; None when there is no such message."""
    row = await queries.message_get(conn, app_id=app_id, id=message_id, with_payload=False)
    return None if row is None else bool(row["kept"])


async def page(conn: Any, app_id: UUID, page: Page, wanted: Filter, *, with_payload: bool) -> list[Message]:
    """The messages of an application in a stretch of ids, in the order of the walk."""
    query = walk("message_page", upwards=page.upwards)
    rows = query(
        conn, app_id=app_id, low=page.low, high=page.high, limit=page.limit, with_payload=with_payload,
        channel=wanted.channel, tag=wanted.tag, event_types=wanted.event_types,
    )  # fmt: skip
    return [message_of(row, row["id"]) async for row in rows]


async def expunge(conn: Any, app_id: UUID, message_id: UUID) -> bool:
    """Forget the payload at once; False when there is no such message."""
    return await queries.message_expunge(conn, app_id=app_id, id=message_id) is not None


async def forget_payloads(conn: Any, now: datetime, limit: int) -> int:
    """Forget at most `limit` payloads whose time is over; gives how many."""
    status: str = await queries.message_forget(conn, now=now, limit=limit)
    return int(status.rpartition(" ")[2])
