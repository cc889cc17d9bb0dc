"""Keys of products' own APIs: found by the hash of what is shown, never stored in the clear."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from angarium.core.claims import ParentCredential
from angarium.store.connection import Connection, Row
from angarium.store.sql import queries


@dataclass(frozen=True, slots=True)
class ApiKey:
    """`app_id` None: the whole organization. `secret` is the hash of the key's second part, if it has one.

    `beginning` is that of the key itself, for people to tell it by; empty for keys made before it was kept.
    `lookup` is the hash of the key, by which it is found.
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
        """As the origin of a token that is made with the key."""
        return ParentCredential((self.lookup,))


def _key(row: Row) -> ApiKey:
    return ApiKey(
        row["id"], row["org_id"], row["app_id"], row["scope"], row["name"], row["secret"],
        row["created_at"], row["last_used_at"], row["revoked_at"],
        row["beginning"], row["lookup"],
    )  # fmt: skip


async def create(connection: Connection, key: ApiKey, lookup: bytes) -> bool:
    """Store a key; one that is there already stays as it is, but for its application. Whether it changed."""
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


async def find(connection: Connection, lookup: bytes) -> ApiKey | None:
    """The living key whose public part has this hash."""
    row = await queries.api_key_find(connection, lookup=lookup)
    return None if row is None else _key(row)


async def page(connection: Connection, org_id: str) -> list[ApiKey]:
    """The keys of an organization, oldest first, revoked ones too."""
    return [_key(row) async for row in queries.api_key_list(connection, org_id=org_id)]


async def used(connection: Connection, key_id: UUID, now: datetime) -> None:
    """Note that the key was used."""
    await queries.api_key_used(connection, id=key_id, now=now)


async def revoke(connection: Connection, org_id: str, key_id: UUID, now: datetime) -> ApiKey | None:
    """Refuse the key from now on; gives it unless it was refused already."""
    row = await queries.api_key_revoke(connection, org_id=org_id, id=key_id, now=now)
    return None if row is None else _key(row)
