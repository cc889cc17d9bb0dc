"""Reads and lists messages and their payloads, and expunges payloads. `store/accept.py` writes them.

Payloads are stored apart from their messages until they expire, partitioned by that time. Messages store the
time, so they are read first, and a statement reads only the partitions of the days that it needs. An expired
payload is never read, although it stays until its partition is dropped: callers pass the time. Statements
that join payloads include the parts `payload_of` and `kept` (queries/part.sql).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.nouns import Message
from angarium.core.patterns import is_event_type
from angarium.store import stretch
from angarium.store.connection import Connection, Row
from angarium.store.sql import queries, walk

_HOUR: Final = 3600.0


@dataclass(frozen=True, slots=True)
class IdRange:
    """A page of a list: at most `limit` rows between two ids, which are excluded, read from one end."""

    low: UUID
    high: UUID
    limit: int
    upwards: bool = False  # oldest first

    @classmethod
    def beyond(cls, cursor: UUID | None, limit: int, *, upwards: bool) -> IdRange:
        """What follows the cursor in the direction of reading; None: from the beginning."""
        low, high = stretch.LOWEST, stretch.HIGHEST
        if cursor is not None:
            low, high = (cursor, high) if upwards else (low, cursor)
        return cls(low, high, limit, upwards=upwards)


@dataclass(frozen=True, slots=True)
class Filter:
    """Selects messages; None: any."""

    channel: str | None = None
    tag: str | None = None
    event_types: tuple[str, ...] | None = None


def message_of(row: Row, message_id: UUID, body: bytes | None = None) -> Message:
    """The message of a row. `body`: its payload; None if it was deleted or is not needed."""
    return Message(
        id=message_id,
        app_id=row["app_id"],
        event_id=row["event_id"],
        event_type=row["event_type"],
        payload=body,
        channels=tuple(row["channels"] or ()),
        tags=tuple(row["tags"] or ()),
        expires_at=row["expires_at"],
        created_at=datetime_at(ids.created_at(message_id)),
    )


async def find(conn: Connection, app_id: UUID, ref: str) -> UUID | None:
    """The message id for a reference: a message id, which may not exist, or an operator's own id."""
    if (own := ids.parse(ids.MESSAGE, ref)) is not None:
        return own
    if not is_event_type(ref):  # own ids have the same characters
        return None
    found: UUID | None = await queries.message_by_event_id(conn, app_id=app_id, event_id=ref)
    return found


async def get(
    conn: Connection, app_id: UUID, message_id: UUID, now: datetime, *, with_payload: bool = True
) -> Message | None:
    """The message, with its payload unless that has expired `now`."""
    row = await queries.message_get(conn, app_id=app_id, id=message_id)
    if row is None:
        return None
    found = await _bodies(conn, [row], now, wanted=with_payload)
    return message_of(row, message_id, found.get(message_id))


async def exists(conn: Connection, app_id: UUID, message_id: UUID) -> bool:
    return await queries.message_get(conn, app_id=app_id, id=message_id) is not None


async def has_payload(conn: Connection, app_id: UUID, message_id: UUID, now: datetime) -> bool | None:
    """Whether the message still has a payload `now`; None if there is no such message."""
    row = await queries.message_get(conn, app_id=app_id, id=message_id)
    return None if row is None else bool(await kept(conn, {message_id: row["expires_at"]}, now))


async def page(
    conn: Connection, app_id: UUID, page: IdRange, wanted: Filter, now: datetime, *, with_payload: bool
) -> list[Message]:
    """The messages of an application in a range of ids, in the order of the range."""
    query = walk("message_page", upwards=page.upwards)

    async def end(low: UUID, high: UUID, rows: int) -> UUID | None:
        async def look(low: UUID, high: UUID) -> UUID | None:
            found: UUID | None = await walk("message_end", upwards=page.upwards)(
                conn, app_id=app_id, low=low, high=high, rows=rows
            )
            return found

        return await stretch.nearest(low, high, now, look, upwards=page.upwards)

    def part(low: UUID, high: UUID, limit: int) -> AsyncIterator[Row]:
        walked: AsyncIterator[Row] = query(
            conn, app_id=app_id, low=low, high=high, limit=limit, channel=wanted.channel, tag=wanted.tag,
            event_types=wanted.event_types,
        )  # fmt: skip
        return walked

    rows = await stretch.read(page.low, page.high, page.limit, end, part, upwards=page.upwards)
    found = await _bodies(conn, rows, now, wanted=with_payload)
    return [message_of(row, row["id"], found.get(row["id"])) for row in rows]


async def _bodies(conn: Connection, rows: Sequence[Row], now: datetime, *, wanted: bool) -> dict[UUID, bytes]:
    return await bodies(conn, {row["id"]: row["expires_at"] for row in rows}, now) if wanted else {}


async def expunge(conn: Connection, app_id: UUID, message_id: UUID) -> bool:
    """Delete the payload at once. Returns False if there is no such message."""
    row = await queries.message_get(conn, app_id=app_id, id=message_id)
    if row is None:
        return False
    await queries.payload_expunge(conn, id=message_id, expires_at=row["expires_at"])
    return True


def expiry(now: float, period: float, history: float) -> datetime:
    """When a payload expires that is accepted at `now` and kept for `period` seconds, rounded up to a whole
    hour. No payload is kept longer than messages, which are kept for `history` seconds."""
    return datetime_at((now + min(period, history)) // _HOUR * _HOUR + _HOUR)


async def bodies(conn: Connection, expiries: Mapping[UUID, datetime], now: datetime) -> dict[UUID, bytes]:
    """The payloads of messages that expire at these times, unless they have expired `now`."""
    return {row["id"]: row["body"] async for row in _read(conn, expiries, now, with_body=True)}


async def kept(conn: Connection, expiries: Mapping[UUID, datetime], now: datetime) -> set[UUID]:
    """The messages whose payload has not expired or been expunged `now`."""
    return {row["id"] async for row in _read(conn, expiries, now, with_body=False)}


async def _read(
    conn: Connection, expiries: Mapping[UUID, datetime], now: datetime, *, with_body: bool
) -> AsyncIterator[Row]:
    if not expiries:
        return
    times = expiries.values()
    rows = queries.payload_read(
        conn, ids=list(expiries), expiries=list(times), first=min(times), last=max(times), now=now,
        with_body=with_body,
    )  # fmt: skip
    async for row in rows:
        yield row
