"""Reads everything of one application in pages, oldest first, kind by kind.

A page has a bounded number of rows and a cursor, from which the next one continues. Pages are not of one
snapshot: what is accepted meanwhile may or may not be in them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from angarium.core import timestamp
from angarium.core.keyring import Keyring
from angarium.core.nouns import Endpoint
from angarium.store import audit
from angarium.store.connection import Connection, Row
from angarium.store.endpoint import endpoint_of
from angarium.store.message import IdRange
from angarium.store.sql import queries
from angarium.store.stretch import HIGHEST, LOWEST

ROWS: Final = 250  # of a page
MESSAGES: Final = 25  # of a page with payloads or responses
_EPOCH: Final = datetime(1, 1, 1, tzinfo=UTC)

Cursor = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExportScope:
    """What is exported: an application, or one of its messages. `now` decides which payloads have expired."""

    org_id: str
    app_id: UUID
    message_id: UUID | None
    now: datetime


@dataclass(frozen=True, slots=True)
class ExportedRows:
    """Rows, and where to continue; None at the end."""

    rows: Sequence[Any]
    cursor: Cursor | None


Reading = Callable[[Connection, ExportScope, Cursor], Awaitable[ExportedRows]]


def _page(rows: Sequence[Row], limit: int, *columns: str) -> ExportedRows:
    """A page of rows in the order of these columns."""
    if len(rows) < limit:
        return ExportedRows(rows, None)
    return ExportedRows(rows, tuple(_text(rows[-1][name]) for name in columns))


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


async def application(conn: Connection, of: ExportScope, _: Cursor) -> ExportedRows:
    return ExportedRows(
        [row async for row in queries.export_application(conn, app_id=of.app_id, place=LOWEST)], None
    )


async def endpoints(
    conn: Connection, of: ExportScope, cursor: Cursor, keyring: Keyring
) -> tuple[list[tuple[Endpoint, list[Row]]], Cursor | None]:
    """Endpoints with their former URLs, and where to continue."""
    place = UUID(cursor[0]) if cursor else LOWEST
    rows = [row async for row in queries.export_endpoint(conn, app_id=of.app_id, place=place, limit=ROWS)]
    named = [row["id"] for row in rows]
    urls: dict[UUID, list[Row]] = {one: [] for one in named}
    async for url in queries.export_former_url(conn, endpoint_ids=named):
        urls[url["endpoint_id"]].append(url)
    return [(endpoint_of(row, keyring), urls[row["id"]]) for row in rows], _page(rows, ROWS, "id").cursor


async def messages(conn: Connection, of: ExportScope, cursor: Cursor) -> ExportedRows:
    ids = await _messages(conn, of, UUID(cursor[0]) if cursor else LOWEST)
    if not ids:
        return ExportedRows([], None)
    rows = [row async for row in queries.export_message(conn, app_id=of.app_id, ids=ids, now=of.now)]
    return ExportedRows(rows, None if len(ids) < MESSAGES else (str(ids[-1]),))


async def attempts(conn: Connection, of: ExportScope, cursor: Cursor) -> ExportedRows:
    """Attempts and cancellations, in the order of their messages. The cursor: the messages before these are
    done; an attempt of these."""
    done, message_id, attempt_id = map(UUID, cursor) if cursor else (LOWEST, LOWEST, LOWEST)
    ids = await _messages(conn, of, done)
    if not ids:
        return ExportedRows([], None)
    rows = [
        row
        async for row in queries.export_attempt(
            conn, app_id=of.app_id, ids=ids, first=ids[0], last=ids[-1], message_id=message_id,
            id=attempt_id, limit=ROWS,
        )
    ]  # fmt: skip
    if len(rows) == ROWS:
        return ExportedRows(rows, (str(done), str(rows[-1]["message_id"]), str(rows[-1]["id"])))
    return ExportedRows(rows, None if len(ids) < MESSAGES else (str(ids[-1]), str(ids[-1]), str(HIGHEST)))


async def queue(conn: Connection, of: ExportScope, cursor: Cursor) -> ExportedRows:
    endpoint_id, place = map(UUID, cursor) if cursor else (LOWEST, LOWEST)
    rows = queries.export_queue(
        conn, app_id=of.app_id, endpoint_id=endpoint_id, place=place, message_id=of.message_id, limit=ROWS
    )
    return _page([row async for row in rows], ROWS, "endpoint_id", "message_id")


async def event_ids(conn: Connection, of: ExportScope, cursor: Cursor) -> ExportedRows:
    place = cursor[0] if cursor else ""
    rows = queries.export_event_id(conn, app_id=of.app_id, place=place, message_id=of.message_id, limit=ROWS)
    return _page([row async for row in rows], ROWS, "event_id")


async def background_tasks(conn: Connection, of: ExportScope, cursor: Cursor) -> ExportedRows:
    place = UUID(cursor[0]) if cursor else LOWEST
    rows = queries.export_background_task(conn, app_id=of.app_id, place=place, limit=ROWS)
    return _page([row async for row in rows], ROWS, "id")


async def audit_records(conn: Connection, of: ExportScope, cursor: Cursor) -> ExportedRows:
    place = UUID(cursor[0]) if cursor else LOWEST
    found = await audit.page(conn, of.org_id, of.app_id, IdRange(place, HIGHEST, ROWS, upwards=True))
    return ExportedRows(found, None if len(found) < ROWS else (str(found[-1].id),))


async def statistics(conn: Connection, of: ExportScope, cursor: Cursor) -> ExportedRows:
    endpoint_id, hour = (UUID(cursor[0]), timestamp.parse(cursor[1])) if cursor else (LOWEST, _EPOCH)
    rows = queries.export_statistics(conn, app_id=of.app_id, endpoint_id=endpoint_id, hour=hour, limit=ROWS)
    return _page([row async for row in rows], ROWS, "endpoint_id", "hour")


async def usage(conn: Connection, of: ExportScope, cursor: Cursor) -> ExportedRows:
    month = timestamp.parse(cursor[0]) if cursor else _EPOCH
    rows = queries.export_usage(conn, app_id=of.app_id, month=month, limit=ROWS)
    return _page([row async for row in rows], ROWS, "month")


async def inbox_requests(conn: Connection, of: ExportScope, cursor: Cursor) -> ExportedRows:
    inbox_id, request_id = map(UUID, cursor) if cursor else (LOWEST, LOWEST)
    rows = queries.export_inbox_request(
        conn, app_id=of.app_id, inbox_id=inbox_id, id=request_id, limit=MESSAGES
    )
    return _page([row async for row in rows], MESSAGES, "inbox_id", "id")


async def api_keys(conn: Connection, of: ExportScope, cursor: Cursor) -> ExportedRows:
    place = UUID(cursor[0]) if cursor else LOWEST
    rows = queries.export_api_key(conn, org_id=of.org_id, app_id=of.app_id, place=place, limit=ROWS)
    return _page([row async for row in rows], ROWS, "id")


async def _messages(conn: Connection, of: ExportScope, place: UUID) -> list[UUID]:
    rows = queries.export_message_ids(
        conn, app_id=of.app_id, place=place, message_id=of.message_id, limit=MESSAGES
    )
    return [row["id"] async for row in rows]
