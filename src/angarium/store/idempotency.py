"""Idempotency keys and the answers they stand for (sealed by the caller)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from angarium.store.connection import Connection
from angarium.store.sql import queries


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a key; `status` None: the first request is still being carried out."""

    status: int | None
    body: bytes | None
    locked_until: datetime


async def begin(
    connection: Connection, key: bytes, *, now: datetime, locked_until: datetime, expires_at: datetime
) -> bool:
    """Take the key; whether it was free."""
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
) -> None:
    """Keep the answer; `locked_until` says whose hold on the key this is."""
    await queries.idempotency_finish(
        connection, key=key, locked_until=locked_until, status=status, body=body, expires_at=expires_at
    )


async def abandon(connection: Connection, key: bytes, *, locked_until: datetime) -> None:
    await queries.idempotency_abandon(connection, key=key, locked_until=locked_until)
