"""Reads and replaces all sealed values in the database, page by page, to encrypt them with another key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from angarium.store.connection import Connection
from angarium.store.sql import queries

PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class SealedEndpoint:
    app_id: UUID
    id: UUID
    url: str = field(repr=False)
    keys: bytes = field(repr=False)
    headers: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class SealedAnswer:
    key: bytes
    body: bytes = field(repr=False)


async def endpoints(connection: Connection, after: SealedEndpoint | None) -> Sequence[SealedEndpoint]:
    """The endpoints after one, at most PAGE."""
    rows = queries.rewrap_endpoint_page(
        connection,
        app_id=after.app_id if after else UUID(int=0),
        id=after.id if after else UUID(int=0),
        limit=PAGE,
    )
    return [SealedEndpoint(**row) async for row in rows]


async def replace_endpoint(
    connection: Connection, old: SealedEndpoint, url: str, keys: bytes, headers: bytes | None
) -> None:
    """Replace sealed values, unless the endpoint has changed since it was read."""
    await queries.rewrap_endpoint(
        connection,
        app_id=old.app_id,
        id=old.id,
        url=url,
        keys=keys,
        headers=headers,
        old_url=old.url,
        old_keys=old.keys,
        old_headers=old.headers,
    )


async def answers(connection: Connection, after: SealedAnswer | None) -> Sequence[SealedAnswer]:
    """The stored responses of idempotency keys after one, at most PAGE."""
    rows = queries.rewrap_answer_page(connection, key=after.key if after else b"", limit=PAGE)
    return [SealedAnswer(**row) async for row in rows]


async def replace_answer(connection: Connection, old: SealedAnswer, body: bytes) -> None:
    """Replace a sealed response, unless it has changed since it was read."""
    await queries.rewrap_answer(connection, key=old.key, body=body, old_body=old.body)
