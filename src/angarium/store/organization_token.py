"""Stores the organizations' tokens that were used, by hash. A token is valid without a row."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

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
    """Record that a token was revoked. Requests are checked against `revoked_token`."""
    await queries.organization_token_revoke(connection, org_id=org_id, digest=digest, now=now)
