"""Stores revoked tokens and those tokens of organizations that were used, by hash.

Revoked tokens are kept until they expire. A cutoff revokes all tokens of an application or session that were
issued until a time. A token of an organization is valid without a row; a row is written when it is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from angarium.store.connection import Connection
from angarium.store.sql import queries


@dataclass(frozen=True, slots=True)
class OrganizationToken:
    """`expires_at` None: never."""

    org_id: str
    digest: bytes
    first_used_at: datetime
    last_used_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


async def used(
    connection: Connection, org_id: str, digest: bytes, expires_at: datetime | None, now: datetime
) -> None:
    """Record that a token was used."""
    await queries.organization_token_used(
        connection, org_id=org_id, digest=digest, expires_at=expires_at, now=now
    )


async def page(connection: Connection, org_id: str, limit: int) -> list[OrganizationToken]:
    """The tokens of an organization, the most recently used first, including revoked ones."""
    rows = queries.organization_token_list(connection, org_id=org_id, limit=limit)
    return [OrganizationToken(**row) async for row in rows]


async def find(connection: Connection, org_id: str, start: str) -> OrganizationToken | None:
    """The token whose hash starts with these hexadecimal digits."""
    row = await queries.organization_token_find(connection, org_id=org_id, start=start)
    return None if row is None else OrganizationToken(**row)


async def revoke(connection: Connection, org_id: str, digest: bytes, now: datetime) -> None:
    """Record that a token was revoked. Requests are checked by `is_revoked`."""
    await queries.organization_token_revoke(connection, org_id=org_id, digest=digest, now=now)


async def refuse(connection: Connection, digest: bytes, expires_at: datetime, now: datetime) -> None:
    """Refuse a token until it expires."""
    await queries.revoked_token_create(connection, digest=digest, expires_at=expires_at, now=now)


async def is_revoked(
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


async def refuse_all(
    connection: Connection, app_id: UUID, session_id: str | None, issued_until: datetime, ends_at: datetime
) -> None:
    """Revoke all tokens issued until a time; `session_id` None: of every session."""
    await queries.revoked_token_end_all(
        connection, app_id=app_id, session_id=session_id or "", issued_until=issued_until, ends_at=ends_at
    )
