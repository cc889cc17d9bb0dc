"""Stores alerts to people: notices, which are counted until they are sent, and mails.

A notice is written in the transaction of what it is about. Taking notices for a mail and writing that mail is
one transaction, too, so a crash loses neither. The process that sends a mail claims it for some minutes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

import msgspec

from angarium.clock import datetime_at
from angarium.core.alert import SHOWN, AlertKind, Audience, Digest, DigestWindow, Entry, Notice, Sum
from angarium.core.contact import ContactStatus
from angarium.core.url import split_credentials
from angarium.store.connection import Connection, Row
from angarium.store.sql import queries, sparse

MARKED: Final = 5000  # failing endpoints that one statement reports
TAKEN: Final = 20_000  # notices that one mail takes; more follow in the next one
CONFIRMATION: Final = "confirmation"
DIGEST: Final = "digest"


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """A mail that this process is to send. `email` and `status` are those of the contact, None for others or
    if it was deleted."""

    id: UUID
    recipient_id: UUID
    app_id: UUID | None
    org_id: str | None
    application: str | None
    kind: str
    digest: Digest | None
    tries: int
    created_at: datetime
    email: str | None
    status: ContactStatus | None
    nonce: UUID | None


async def add(connection: Connection, notices: Sequence[Notice], audience: Audience, now: float) -> None:
    """Note what happened, for everyone who is to be audience. A pair of endpoint and kind occurs once."""
    await queries.notice_add(
        connection,
        app_ids=[one.app_id for one in notices],
        endpoint_ids=[one.endpoint_id for one in notices],
        kinds=[one.kind for one in notices],
        counts=[one.count for one in notices],
        codes=sparse([one.code for one in notices]),
        operator=list(audience.operator),
        contacts=audience.contacts,
        now=datetime_at(now),
    )


async def add_failing(connection: Connection, audience: Audience, now: float, since: float) -> int:
    """Note endpoints that have failed since `since` or longer, each once. Returns how many were marked."""
    marked: int = await queries.notice_add_failing(
        connection,
        before=datetime_at(since),
        limit=MARKED,
        operator=list(audience.operator),
        contacts=audience.contacts,
        now=datetime_at(now),
    )
    return marked


async def due(connection: Connection, now: float, limit: int) -> list[tuple[UUID, DigestWindow | None]]:
    """Recipients with notices who may get a digest now, or have no window yet."""
    rows = queries.notice_due(connection, now=datetime_at(now), limit=limit)
    return [
        (row["id"], None if row["level"] is None else DigestWindow(row["level"], row["next_at"].timestamp()))
        async for row in rows
    ]


async def open_window(connection: Connection, recipient_id: UUID, window: DigestWindow) -> None:
    """Store when a recipient may get the next digest."""
    await queries.digest_window(
        connection, recipient_id=recipient_id, level=window.level, next_at=datetime_at(window.next_at)
    )


async def take(connection: Connection, recipient_id: UUID) -> Digest | None:
    """Take the notices of a recipient, in a transaction that writes the mail. None: there are none."""
    rows = [
        row
        async for row in queries.notice_take(connection, recipient_id=recipient_id, limit=TAKEN, shown=SHOWN)
    ]
    if not rows:
        return None
    sums = {AlertKind(row["kind"]): Sum(row["endpoints"], row["total"]) for row in rows}
    return Digest([_entry(row) for row in rows], sums)


def _entry(row: Row) -> Entry:
    return Entry(
        org_id=row["org_id"] or "",
        app_id=row["app_id"],
        application=row["application"] or "",
        endpoint_id=row["endpoint_id"],
        name=row["name"] or host_of(row["url"] or ""),
        kind=AlertKind(row["kind"]),
        count=row["count"],
        first_at=row["first_at"].timestamp(),
        last_at=row["last_at"].timestamp(),
        code=row["code"],
    )


def host_of(url: str) -> str:
    """The host of a URL. The rest may be a secret, so it is not mailed."""
    return urlsplit(split_credentials(url)[0]).hostname or ""


async def write(
    connection: Connection,
    mail_id: UUID,
    recipient_id: UUID,
    kind: str,
    now: float,
    *,
    app_id: UUID | None = None,
    email: str | None = None,
    digest: Digest | None = None,
) -> None:
    """Write a mail, to be sent soon."""
    await queries.mail_add(
        connection,
        id=mail_id,
        recipient_id=recipient_id,
        app_id=app_id,
        email=email,
        kind=kind,
        content=None if digest is None else msgspec.to_builtins(digest),
        now=datetime_at(now),
    )


async def claim(connection: Connection, now: float, until: float, limit: int) -> list[Outgoing]:
    """Take mails that are due. No other process takes them before `until`."""
    rows = queries.mail_claim(connection, now=datetime_at(now), until=datetime_at(until), limit=limit)
    return [_outgoing(row) async for row in rows]


def _outgoing(row: Row) -> Outgoing:
    content: Any = row["content"]
    return Outgoing(
        id=row["id"],
        recipient_id=row["recipient_id"],
        app_id=row["app_id"],
        org_id=row["org_id"],
        application=row["application"],
        kind=row["kind"],
        digest=None if content is None else msgspec.convert(content, Digest),
        tries=row["tries"],
        created_at=row["created_at"],
        email=row["email"],
        status=None if row["status"] is None else ContactStatus(row["status"]),
        nonce=row["nonce"],
    )


async def settle(connection: Connection, mail_id: UUID, again_at: float | None) -> None:
    """Store that a mail is done, or when it is tried again."""
    await queries.mail_settle(
        connection, id=mail_id, due_at=None if again_at is None else datetime_at(again_at)
    )


async def confirmations(connection: Connection, app_id: UUID, email: str, since: datetime) -> tuple[int, int]:
    """The confirmations mailed since a time, of the application and to the address."""
    row = await queries.confirmation_count(connection, app_id=app_id, email=email, since=since)
    return row["of_application"], row["of_address"]
