"""Seals and opens the signing keys and headers of an endpoint, and replaces all sealed values for a rewrap.

Each value is bound to the endpoint's id. The login of the endpoint's URL is stored among the headers, under a
name that no header can have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import msgspec

from angarium.core.keyring import Keyring
from angarium.core.nouns import SigningKey
from angarium.store.connection import Connection
from angarium.store.sql import queries

PAGE: Final = 500  # rows that a rewrap reads at a time
LOGIN: Final = ":login"
_KEYS: Final = b"endpoint.keys:"
_HEADERS: Final = b"endpoint.headers:"
_READ_KEYS: Final = msgspec.json.Decoder(list[tuple[str, float | None, float | None]])
_READ_HEADERS: Final = msgspec.json.Decoder(dict[str, str])


def seal_keys(keyring: Keyring, endpoint_id: UUID, keys: Sequence[SigningKey], nonce: bytes) -> bytes:
    plain = msgspec.json.encode([(key.secret, key.expires_at, key.active_at) for key in keys])
    return keyring.seal(plain, nonce, _KEYS + endpoint_id.bytes)


def open_keys(keyring: Keyring, endpoint_id: UUID, sealed: bytes) -> tuple[SigningKey, ...]:
    """The keys, the current one first. May include expired keys."""
    plain = keyring.open(sealed, _KEYS + endpoint_id.bytes)
    return tuple(SigningKey(*key) for key in _READ_KEYS.decode(plain))


def seal_headers(
    keyring: Keyring, endpoint_id: UUID, headers: Mapping[str, str], nonce: bytes
) -> bytes | None:
    """Seal headers. Returns None if there are none."""
    if not headers:
        return None
    return keyring.seal(msgspec.json.encode(dict(headers)), nonce, _HEADERS + endpoint_id.bytes)


def open_headers(keyring: Keyring, endpoint_id: UUID, sealed: bytes | None) -> dict[str, str]:
    if sealed is None:
        return {}
    return _READ_HEADERS.decode(keyring.open(sealed, _HEADERS + endpoint_id.bytes))


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
