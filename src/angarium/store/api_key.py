"""Reads and writes API keys of products. Keys are found by hash and never stored in clear text."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from angarium.core.claims import ParentCredential
from angarium.core.errors import NotFound
from angarium.store.connection import Connection, Row
from angarium.store.sql import queries


@dataclass(frozen=True, slots=True)
class ApiKey:
    """`app_id` None: the whole organization. `secret` is the hash of the key's second part, if it has one.

    `beginning` is the first characters of the key, so that people can recognize it; empty for old keys.
    `lookup` is the hash by which the key is found.
    """

    id: UUID
    org_id: str
    app_id: UUID | None
    scope: str
    name: str
    secret: bytes | None = field(repr=False)
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None
    beginning: str = ""
    lookup: bytes = field(default=b"", repr=False)

    @property
    def origin(self) -> ParentCredential:
        """The key as the parent of a token that is created with it."""
        return ParentCredential((self.lookup,))


def _key(row: Row) -> ApiKey:
    return ApiKey(
        row["id"], row["org_id"], row["app_id"], row["scope"], row["name"], row["secret"],
        row["created_at"], row["last_used_at"], row["revoked_at"],
        row["beginning"], row["lookup"],
    )  # fmt: skip


async def create(connection: Connection, key: ApiKey, lookup: bytes) -> bool:
    """Store a key. Of one that exists, only the application may change. Returns whether a row was written."""
    row = await queries.api_key_create(
        connection,
        id=key.id,
        org_id=key.org_id,
        app_id=key.app_id,
        scope=key.scope,
        name=key.name,
        lookup=lookup,
        secret=key.secret,
        now=key.created_at,
        beginning=key.beginning,
    )
    return row is not None


async def names(connection: Connection, org_id: str, app_id: UUID) -> set[str]:
    """The names of the application's active keys. Raises NotFound if it was deleted. Others that need the
    names, and what deletes the application, wait until this transaction ends."""
    if await queries.api_key_hold(connection, app_id=app_id) is None:
        raise NotFound()
    rows = queries.api_key_names(connection, org_id=org_id, app_id=app_id)
    return {row["name"] async for row in rows}


async def find(connection: Connection, lookup: bytes) -> ApiKey | None:
    """The active key whose public part has this hash."""
    row = await queries.api_key_find(connection, lookup=lookup)
    return None if row is None else _key(row)


async def page(connection: Connection, org_id: str) -> list[ApiKey]:
    """The keys of an organization, oldest first, including revoked ones."""
    return [_key(row) async for row in queries.api_key_list(connection, org_id=org_id)]


async def used(connection: Connection, key_id: UUID, now: datetime) -> None:
    """Record that the key was used."""
    await queries.api_key_used(connection, id=key_id, now=now)


async def revoke(connection: Connection, org_id: str, key_id: UUID, now: datetime) -> ApiKey | None:
    """Revoke the key. Returns it, or None if it was already revoked."""
    row = await queries.api_key_revoke(connection, org_id=org_id, id=key_id, now=now)
    return None if row is None else _key(row)
