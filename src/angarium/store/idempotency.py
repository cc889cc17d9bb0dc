"""Stores idempotency keys with the responses to their requests, which the caller seals."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from angarium.store.connection import Connection
from angarium.store.sql import queries


def subject_of(org_id: str, ref: str) -> bytes:
    """What the responses about an application are found by. `ref`: its id or uid, as a request named it."""
    return hashlib.sha256(f"{org_id}\n{ref}".encode()).digest()


@dataclass(frozen=True, slots=True)
class Known:
    """A key that was used. `status` None: its first request is still in progress."""

    status: int | None
    body: bytes | None
    locked_until: datetime


async def begin(
    connection: Connection, key: bytes, *, now: datetime, locked_until: datetime, expires_at: datetime
) -> bool:
    """Lock the key for a request. Returns False if it is already used."""
    row = await queries.idempotency_begin(
        connection, key=key, now=now, locked_until=locked_until, expires_at=expires_at
    )
    return row is not None


async def find(connection: Connection, key: bytes) -> Known | None:
    row = await queries.idempotency_find(connection, key=key)
    return None if row is None else Known(row["status"], row["body"], row["locked_until"])


async def finish(
    connection: Connection,
    key: bytes,
    *,
    locked_until: datetime,
    status: int,
    body: bytes,
    expires_at: datetime,
    subject: bytes | None = None,
) -> None:
    """Store the response. `locked_until` identifies the lock of this request. `subject`: the application
    that it is about (`subject_of`)."""
    await queries.idempotency_finish(
        connection,
        key=key,
        locked_until=locked_until,
        status=status,
        body=body,
        expires_at=expires_at,
        subject=subject,
    )


async def abandon(connection: Connection, key: bytes, *, locked_until: datetime) -> None:
    await queries.idempotency_abandon(connection, key=key, locked_until=locked_until)
