"""Stores Play inboxes and the requests that they received."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from angarium.core.inbox import InboxAnswer, InboxRequest, PlayInbox
from angarium.core.keyring import Keyring
from angarium.core.nouns import Endpoint
from angarium.store.connection import Connection, Row
from angarium.store.endpoint import endpoint_of
from angarium.store.sql import queries


def _inbox(row: Row) -> PlayInbox:
    answer = InboxAnswer(row["status_code"], row["delay_ms"] / 1000, row["failure_percent"])
    return PlayInbox(row["id"], row["org_id"], row["app_id"], answer, row["expires_at"])


def _arrival(row: Row) -> InboxRequest:
    headers = [(name, value) for name, value in row["headers"]]
    return InboxRequest(
        row["id"], row["method"], headers, row["body"], row["size"], row["status_code"], row["verified"],
        row["finding"],
    )  # fmt: skip


async def count(connection: Connection, app_id: UUID, now: datetime) -> int:
    """The number of inboxes of an application that have not expired."""
    found: int = await queries.play_inbox_count(connection, app_id=app_id, now=now)
    return found


async def create(connection: Connection, inbox: PlayInbox) -> None:
    await queries.play_inbox_insert(
        connection, id=inbox.id, org_id=inbox.org_id, app_id=inbox.app_id, expires_at=inbox.expires_at
    )


async def inboxes(connection: Connection, app_id: UUID, now: datetime) -> list[tuple[PlayInbox, UUID | None]]:
    """The inboxes of an application, newest first, each with the id of the last request in it."""
    rows = queries.play_inbox_list(connection, app_id=app_id, now=now)
    return [(_inbox(row), row["last_id"]) async for row in rows]


async def find(connection: Connection, app_id: UUID, inbox_id: UUID, now: datetime) -> PlayInbox | None:
    row = await queries.play_inbox_find(connection, app_id=app_id, id=inbox_id, now=now)
    return None if row is None else _inbox(row)


async def take(connection: Connection, inbox_id: UUID, now: datetime) -> PlayInbox | None:
    """The inbox with this id, of any application, locked until the end of the transaction."""
    row = await queries.play_inbox_take(connection, id=inbox_id, now=now)
    return None if row is None else _inbox(row)


async def is_living(connection: Connection, inbox_id: UUID, now: datetime) -> bool:
    """Whether there is an inbox with this id, of any application, that has not expired."""
    found: bool = await queries.play_inbox_is_living(connection, id=inbox_id, now=now)
    return found


async def set_answer(
    connection: Connection, held: PlayInbox, answer: InboxAnswer, expires_at: datetime
) -> PlayInbox:
    """Change the response of an inbox, which was taken in this transaction. Returns the new inbox."""
    row = await queries.play_inbox_answer(
        connection,
        app_id=held.app_id,
        id=held.id,
        status_code=answer.status_code,
        delay_ms=round(answer.delay * 1000),
        failure_percent=answer.failure_percent,
        expires_at=expires_at,
    )
    return _inbox(row)


async def extend(connection: Connection, inbox_id: UUID, expires_at: datetime) -> None:
    await queries.play_inbox_extend(connection, id=inbox_id, expires_at=expires_at)


async def delete(connection: Connection, app_id: UUID, inbox_id: UUID) -> None:
    await queries.play_inbox_delete(connection, app_id=app_id, id=inbox_id)


async def endpoints(
    connection: Connection, app_id: UUID, url: str, keyring: Keyring, *, limit: int
) -> list[Endpoint]:
    """The endpoints of an application with exactly this URL."""
    rows = queries.play_endpoints(connection, app_id=app_id, url=url, limit=limit)
    return [endpoint_of(row, keyring) async for row in rows]


async def put(connection: Connection, inbox_id: UUID, arrival: InboxRequest, *, kept: int) -> None:
    """Store a request, and delete all but the newest `kept`. The inbox must have been taken."""
    await queries.play_request_insert(
        connection,
        inbox_id=inbox_id,
        id=arrival.id,
        method=arrival.method,
        headers=arrival.headers,
        body=arrival.body,
        size=arrival.size,
        status_code=arrival.status_code,
        verified=arrival.verified,
        finding=arrival.finding,
    )
    await queries.play_request_trim(connection, inbox_id=inbox_id, kept=kept)


async def arrivals(connection: Connection, inbox_id: UUID, after: UUID) -> list[InboxRequest]:
    """The requests after an id, newest first, without headers and bodies."""
    rows = queries.play_request_list(connection, inbox_id=inbox_id, after=after)
    return [_arrival(row) async for row in rows]


async def since(connection: Connection, inbox_id: UUID, after: UUID, limit: int) -> list[InboxRequest]:
    """The requests after an id, oldest first, with headers and bodies."""
    rows = queries.play_request_since(connection, inbox_id=inbox_id, after=after, limit=limit)
    return [_arrival(row) async for row in rows]


async def arrival(connection: Connection, inbox_id: UUID, arrival_id: UUID) -> InboxRequest | None:
    """One request, with headers and body."""
    row = await queries.play_request_get(connection, inbox_id=inbox_id, id=arrival_id)
    return None if row is None else _arrival(row)


async def last(connection: Connection, inbox_id: UUID) -> UUID | None:
    """The id of the newest request."""
    found: UUID | None = await queries.play_request_last(connection, inbox_id=inbox_id)
    return found


async def clear(connection: Connection, app_id: UUID, inbox_id: UUID) -> None:
    await queries.play_request_clear(connection, app_id=app_id, id=inbox_id)
