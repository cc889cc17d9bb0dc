"""Reads attempts for lists and pages.

`store/complete.py` writes them. The only later change is to expunge the body of a response.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from angarium.clock import datetime_at
from angarium.core import header_code, ids
from angarium.core.nouns import Attempt, AttemptStatus, Exchange, Message
from angarium.core.url import split_credentials
from angarium.store import stretch
from angarium.store.connection import Connection, Row
from angarium.store.message import Filter, IdRange, message_of
from angarium.store.sql import queries, walk
from angarium.store.stretch import HIGHEST, LOWEST

EXPUNGED: Final = b"EXPUNGED"


@dataclass(frozen=True, slots=True)
class AttemptFilter:
    """Selects attempts; None: any."""

    status: AttemptStatus | None = None
    status_code_class: int | None = None  # 0, 100, …, 500: the status code rounded down
    endpoint_id: UUID | None = None  # of a message's attempts


@dataclass(frozen=True, slots=True)
class Recorded:
    """An attempt and its message without the payload; None if the message was deleted."""

    attempt: Attempt
    message: Message | None


def _attempt(row: Row) -> Attempt:
    return Attempt(
        id=row["id"],
        app_id=row["app_id"],
        message_id=row["message_id"],
        endpoint_id=row["endpoint_id"],
        number=row["number"],
        manual=row["manual"],
        status=AttemptStatus(row["status"]),
        status_code=row["status_code"],
        error_code=row["error_code"],
        error=row["error"],
        response=row["response"],
        duration_ms=row["duration_ms"],
        next_at=row["next_at"],
        url=split_credentials(row["url"] or "")[0],
        created_at=datetime_at(ids.created_at(row["id"])),
        exchange=_exchange(row),
    )


def _exchange(row: Row) -> Exchange | None:
    kept = row.get("exchange")
    if not kept:
        return None
    try:
        headers = header_code.decode(kept, message_id=row["message_id"], attempt_id=row["id"])
    except header_code.UnreadableError:
        return None  # written by a newer release during a rolling upgrade
    return Exchange(*headers)


def _recorded(row: Row) -> Recorded:
    attempt = _attempt(row)
    if row["event_type"] is None:
        return Recorded(attempt, None)
    return Recorded(attempt, message_of(row, attempt.message_id))


async def get(conn: Connection, app_id: UUID, message_id: UUID, attempt_id: UUID) -> Recorded | None:
    row = await queries.attempt_get(conn, app_id=app_id, message_id=message_id, id=attempt_id)
    return None if row is None else _recorded(row)


async def by_endpoint(
    conn: Connection,
    app_id: UUID,
    endpoint_id: UUID,
    page: IdRange,
    like: AttemptFilter,
    wanted: Filter,
    *,
    with_response: bool,
) -> list[Recorded]:
    """The attempts at one endpoint in a range of ids, in the order of the range."""
    query = walk("attempt_by_endpoint", upwards=page.upwards)

    async def end(low: UUID, high: UUID, rows: int) -> UUID | None:
        return await _end(conn, app_id, endpoint_id, (low, high), rows, upwards=page.upwards)

    def part(low: UUID, high: UUID, limit: int) -> AsyncIterator[Row]:
        rows: AsyncIterator[Row] = query(
            conn, app_id=app_id, endpoint_id=endpoint_id, low_message=LOWEST, high_message=HIGHEST, low=low,
            high=high, limit=limit, with_response=with_response, status=like.status,
            code_low=like.status_code_class, channel=wanted.channel, tag=wanted.tag,
            event_types=wanted.event_types,
        )  # fmt: skip
        return rows

    found = await stretch.read(page.low, page.high, page.limit, end, part, upwards=page.upwards)
    return [_recorded(row) for row in found]


async def reach(conn: Connection, app_id: UUID, endpoint_id: UUID, high: UUID, rows: int) -> UUID | None:
    """The newest attempt below `high` that is not among the newest `rows` of them; None if there is none."""
    return await _end(conn, app_id, endpoint_id, (LOWEST, high), rows, upwards=False)


async def _end(
    conn: Connection, app_id: UUID, endpoint_id: UUID, between: tuple[UUID, UUID], rows: int, *, upwards: bool
) -> UUID | None:
    found: UUID | None = await walk("attempt_end", upwards=upwards)(
        conn, app_id=app_id, endpoint_id=endpoint_id, low=between[0], high=between[1], rows=rows
    )
    return found


async def by_message(
    conn: Connection,
    app_id: UUID,
    message_id: UUID,
    page: IdRange,
    like: AttemptFilter,
    wanted: Filter,
    *,
    with_response: bool,
) -> list[Recorded]:
    """The attempts for one message in a range of ids, in the order of the range."""
    query = walk("attempt_by_message", upwards=page.upwards)
    rows = query(
        conn, app_id=app_id, low_message=message_id, high_message=message_id, low=page.low, high=page.high,
        limit=page.limit,
        with_response=with_response, status=like.status, code_low=like.status_code_class,
        endpoint_id=like.endpoint_id, channel=wanted.channel, tag=wanted.tag, event_types=wanted.event_types,
    )  # fmt: skip
    return [_recorded(row) async for row in rows]


async def whole(conn: Connection, app_id: UUID, message_id: UUID, limit: int) -> list[Attempt]:
    """The newest attempts for a message, with everything that was recorded."""
    rows = queries.attempt_whole(conn, app_id=app_id, message_id=message_id, limit=limit)
    return [_attempt(row) async for row in rows]


async def expunge(conn: Connection, app_id: UUID, message_id: UUID, attempt_id: UUID) -> bool:
    """Replace the body of the response by EXPUNGED. Returns False if there is no such attempt."""
    found = await queries.attempt_expunge(
        conn, app_id=app_id, message_id=message_id, id=attempt_id, mark=EXPUNGED
    )
    return found is not None
