"""Reads and expunges payloads, which are stored apart from their messages until they expire.

An expired payload is never read, although it stays until its partition is dropped: callers pass the time.
Statements that join payloads include the parts `payload_of` and `kept` (queries/part.sql).

Payloads are partitioned by the time at which they expire. Messages store that time, so they are read first,
and a statement reads only the partitions of the days that it needs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

from angarium.clock import datetime_at
from angarium.store.connection import Connection, Row
from angarium.store.sql import queries

_HOUR: Final = 3600.0


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


async def expunge(conn: Connection, message_id: UUID, expires_at: datetime) -> None:
    """Delete the payload now."""
    await queries.payload_expunge(conn, id=message_id, expires_at=expires_at)
