"""Stores revoked tokens by hash until they expire, and cutoffs: times up to which all tokens are revoked."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from angarium.store.connection import Connection
from angarium.store.sql import queries


async def create(connection: Connection, digest: bytes, expires_at: datetime, now: datetime) -> None:
    await queries.revoked_token_create(connection, digest=digest, expires_at=expires_at, now=now)


async def is_ended(
    connection: Connection,
    digests: list[bytes],
    app_id: UUID,
    session_id: str | None,
    issued_at: datetime,
    now: datetime,
) -> bool:
    """Whether one of the credentials was revoked, or a cutoff of the application or session applies."""
    return bool(
        await queries.revoked_token_is_ended(
            connection,
            digests=digests,
            app_id=app_id,
            session_id=session_id or "",
            issued_at=issued_at,
            now=now,
        )
    )


async def end_all(
    connection: Connection, app_id: UUID, session_id: str | None, issued_until: datetime, ends_at: datetime
) -> None:
    """Revoke all tokens issued until a time; `session_id` None: of every session."""
    await queries.revoked_token_end_all(
        connection, app_id=app_id, session_id=session_id or "", issued_until=issued_until, ends_at=ends_at
    )
