"""Seals and opens the signing keys and headers of an endpoint, each bound to the endpoint's id.

The login of its URL is stored among the headers, under a name that no header can have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

import msgspec

from angarium.core.keyring import Keyring
from angarium.core.nouns import SigningKey

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
