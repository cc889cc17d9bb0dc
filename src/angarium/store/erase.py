"""Deletes everything of one application, or what a message said, in slices, and counts what is left.

`TABLES` is the catalogue: every table with rows of an application is in it (tests/store/test_erase.py reads
the schema). The caller deletes table by table, then walks over the rows that no index finds, then counts what
is left in each table, and starts again if there is anything (dispatch/erasure.py).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from angarium.core.nouns import Application
from angarium.store import fan_out, hint
from angarium.store.application import application_of
from angarium.store.cancel import cancel_message
from angarium.store.connection import Connection
from angarium.store.endpoint import notify_changed
from angarium.store.sql import queries

SLICE: Final = 1000  # rows deleted at a time
MESSAGES: Final = 200  # messages deleted at a time
WALK: Final = 20_000  # rows of all applications read at a time

_Verb = Callable[..., Awaitable[int]]


@dataclass(frozen=True, slots=True)
class ErasedTable:
    """How the rows of an application in one table are deleted and counted. Without `erase` they are deleted
    with messages or by a walk; without `left` they are not found by the application, only by messages or a
    walk."""

    name: str
    erase: _Verb | None
    left: _Verb | None


@dataclass(frozen=True, slots=True)
class ErasedApplication:
    """The application to erase. `subjects`: what the stored responses about it are found by."""

    org_id: str
    app_id: UUID
    subjects: Sequence[bytes] = ()

    @property
    def columns(self) -> dict[str, Any]:
        return {"org_id": self.org_id, "app_id": self.app_id, "subjects": self.subjects}


async def _messages(connection: Connection, app_id: UUID) -> dict[str, int]:
    """Delete some attempts of the next messages, or if there are none left, the messages and payloads."""
    rows = [row async for row in queries.erase_message_slice(connection, app_id=app_id, limit=MESSAGES)]
    if not rows:
        return {}
    found, expiries = [row["id"] for row in rows], [row["expires_at"] for row in rows]
    bounds = {"ids": found, "first": found[0], "last": found[-1]}
    attempts: int = await queries.erase_attempt(connection, **bounds, limit=SLICE)
    if attempts == SLICE:
        return {"attempt": attempts}
    payloads: int = await queries.erase_payload(
        connection, ids=found, expiries=expiries, low=min(expiries), high=max(expiries)
    )
    messages: int = await queries.erase_message(connection, app_id=app_id, **bounds)
    return {"attempt": attempts, "payload": payloads, "message": messages}


TABLES: Final = (
    # the queue first: then nothing is sent any more, and attempts in flight record nothing
    ErasedTable("fan_out", queries.erase_fan_out, queries.left_fan_out),
    ErasedTable("pending", queries.erase_pending, queries.left_pending),
    ErasedTable("retry", queries.erase_retry, queries.left_retry),
    ErasedTable("message", None, queries.left_message),  # with attempts and payloads
    ErasedTable("attempt", None, None),  # with their messages; strays by a walk
    ErasedTable("payload", None, None),  # with their messages, and named by nothing else
    ErasedTable("event_id", queries.erase_event_id, queries.left_event_id),
    ErasedTable("idempotency", None, None),  # by a walk
    ErasedTable("attempt_hour", queries.erase_attempt_hour, queries.left_attempt_hour),
    # the organization keeps the sums
    ErasedTable("usage_entry", queries.erase_usage_entry, queries.left_usage_entry),
    ErasedTable("usage", queries.erase_usage, queries.left_usage),
    ErasedTable("background_task", queries.erase_background_task, queries.left_background_task),
    # contacts first: then no notice is written for them
    ErasedTable("contact", queries.erase_contact, queries.left_contact),
    ErasedTable("notice", queries.erase_notice, queries.left_notice),
    ErasedTable("mail", queries.erase_mail, queries.left_mail),
    ErasedTable("sandbox_counter", queries.erase_sandbox_counter, queries.left_sandbox_counter),
    ErasedTable("play_request", queries.erase_play_request, queries.left_play_request),
    ErasedTable("play_inbox", queries.erase_play_inbox, queries.left_play_inbox),
    ErasedTable("listener", queries.erase_listener, queries.left_listener),
    ErasedTable("endpoint_health", queries.erase_endpoint_health, queries.left_endpoint_health),
    ErasedTable("held_lane", queries.erase_held_lane, queries.left_held_lane),
    ErasedTable("former_url", queries.erase_former_url, queries.left_former_url),
    ErasedTable("control.placement", queries.erase_placement, queries.left_placement),
    ErasedTable("control.token_cutoff", queries.erase_token_cutoff, queries.left_token_cutoff),
    ErasedTable("control.api_key", queries.erase_api_key, queries.left_api_key),
    ErasedTable("control.idempotency", queries.erase_idempotency_control, queries.left_idempotency_control),
    # records stay without their details
    ErasedTable("audit", queries.erase_audit, queries.left_audit),
    ErasedTable("control.audit", queries.erase_audit_control, queries.left_audit_control),
)
"""All tables but the two that end last, `endpoint` and `application`, by which the others are found."""

LAST: Final = ErasedTable("endpoint", queries.erase_endpoint, queries.left_endpoint)


async def find(
    connection: Connection, org_id: str, app_id: UUID | None, uid: str | None
) -> Application | None:
    """The application, locked. It may be deleted, if it is named by its id."""
    row = await queries.erase_find(connection, org_id=org_id, id=app_id, uid=uid)
    return None if row is None else application_of(row)


async def mark(connection: Connection, application: Application, now: datetime) -> None:
    """From the commit on, nothing of the application is accepted, sent or recorded any more. Lanes and
    listeners forget it."""
    await queries.erase_mark(connection, id=application.id, org_id=application.org_id, now=now)
    await queries.application_displace(connection, id=application.id)
    rows = queries.erase_mark_endpoints(connection, app_id=application.id, now=now)
    await notify_changed(connection, [row["id"] async for row in rows])


async def writers(connection: Connection) -> list[str]:
    """The transactions that write now. One of them may have looked for the application before it was
    marked."""
    found: list[str] = await queries.erase_writers(connection)
    return found


async def writing(connection: Connection, these: Sequence[str]) -> bool:
    """Whether any of these transactions is still running."""
    running: bool = await queries.erase_writing(connection, writers=these)
    return running


async def erase(
    connection: Connection, table: ErasedTable, subject: ErasedApplication
) -> tuple[dict[str, int], bool]:
    """Delete a slice of a table. Returns how many rows by table, and whether there may be more."""
    if table.name == "message":
        gone = await _messages(connection, subject.app_id)
        return gone, bool(gone)
    if table.erase is None:
        return {}, False
    count = await table.erase(connection, **subject.columns, limit=SLICE)
    return {table.name: count}, count >= SLICE


async def left(connection: Connection, subject: ErasedApplication) -> dict[str, int]:
    """Count what is left, by table; tables without rows of the application are not listed."""
    found = {}
    for table in TABLES:
        if table.left is not None and (count := await table.left(connection, **subject.columns)):
            found[table.name] = count
    return found


async def walk_attempts(
    connection: Connection, app_id: UUID, after: tuple[UUID, UUID]
) -> tuple[int, tuple[UUID, UUID] | None]:
    """Delete strays among the next attempts. Returns how many, and where to continue."""
    row = await queries.erase_attempt_walk(
        connection, app_id=app_id, message_id=after[0], id=after[1], rows=WALK
    )
    return row["gone"], None if row["message_id"] is None else (row["message_id"], row["id"])


async def walk_idempotency(connection: Connection, app_id: UUID, after: bytes) -> tuple[int, bytes | None]:
    """The same among the next idempotency keys."""
    row = await queries.erase_idempotency_walk(connection, app_id=app_id, after=after, rows=WALK)
    return row["gone"], row["key"]


async def end(connection: Connection, subject: ErasedApplication) -> None:
    """Delete the application itself."""
    await queries.erase_application(connection, **subject.columns)


async def mark_message(connection: Connection, app_id: UUID, message_id: UUID, now: datetime) -> bool:
    """Delete the payload and what the sender said about a message, and cancel its deliveries. From the commit
    on, nothing that receivers say about it is recorded. Returns False if there is no such message."""
    await queries.erase_message_event_id(connection, app_id=app_id, id=message_id)
    row = await queries.erase_message_mark(connection, app_id=app_id, id=message_id, now=now)
    if row is None:
        return False
    await fan_out.stop(connection, message_id)
    await queries.payload_expunge(connection, id=message_id, expires_at=row["expires_at"])
    await cancel_message(connection, app_id, message_id, now)
    await hint.send(connection, [hint.erased(message_id)])
    return True


async def responses(connection: Connection, app_id: UUID, message_id: UUID) -> int:
    """Clear a slice of what receivers said about the message."""
    cleared: int = await queries.erase_responses(connection, app_id=app_id, id=message_id, limit=SLICE)
    return cleared


async def left_responses(connection: Connection, app_id: UUID, message_id: UUID) -> int:
    """How many attempts of the message still have a response, an error text or headers."""
    count: int = await queries.left_responses(connection, app_id=app_id, id=message_id)
    return count
