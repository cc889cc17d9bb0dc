"""Secrets at rest: AES-256-GCM under a ring of keys.

The first key seals, any key opens, so a key is rotated by putting a new one in front. A sealed value is
the key's id (4 bytes of its SHA-256), the nonce (12 bytes) and the ciphertext with its tag. The context
(what the value belongs to, such as the endpoint's id) is authenticated: a value moved to another row
does not open there.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from angarium.core.errors import AngariumError, SettingsError

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
_ID_BYTES: Final = 4
_TAG_BYTES: Final = 16


class SealError(AngariumError):
    """A stored secret cannot be opened."""

    code = "seal_broken"


class Keyring:
    """Seals and opens; values passed in, nothing remembered but the keys."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys:
            raise SettingsError("at least one secret key is needed")
        if any(len(key) != KEY_BYTES for key in keys):
            raise SettingsError(f"a secret key is exactly {KEY_BYTES} bytes")
        self._current = _key_id(keys[0])
        self._ciphers = {_key_id(key): AESGCM(key) for key in reversed(keys)}
        if len(self._ciphers) != len(set(keys)):
            raise SettingsError("two secret keys have the same id; replace the newer one")

    @classmethod
    def parse(cls, text: str) -> Keyring:
        """Keys as a setting writes them: base64 or hex of 32 bytes, separated by commas, newest first."""
        return cls([_decode(part, place) for place, part in enumerate(_parts(text), 1)])

    def seal(self, plain: bytes, nonce: bytes, context: bytes) -> bytes:
        """Encrypt under the current key. `nonce` is 12 fresh random bytes."""
        if len(nonce) != NONCE_BYTES:
            raise ValueError(f"a nonce is {NONCE_BYTES} bytes")
        return self._current + nonce + self._ciphers[self._current].encrypt(nonce, plain, context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Decrypt; raises SealError, saying whether a key is missing or the value was changed."""
        if len(sealed) < _ID_BYTES + NONCE_BYTES + _TAG_BYTES:
            raise SealError("The stored secret is too short to be a sealed value; it was cut or changed.")
        key_id, nonce = sealed[:_ID_BYTES], sealed[_ID_BYTES : _ID_BYTES + NONCE_BYTES]
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            known = ", ".join(k.hex() for k in self._ciphers)
            raise SealError(
                f"The stored secret was sealed with the key {key_id.hex()}, which is not among the keys in "
                f"ANGARIUM_SECRET_KEY ({known}). Add that key to the end of the list again."
            )
        try:
            return cipher.decrypt(nonce, sealed[_ID_BYTES + NONCE_BYTES :], context)
        except InvalidTag:
            raise SealError(
                f"The stored secret does not open with its key {key_id.hex()}: "
                "it was changed, or moved from another row."
            ) from None

    def is_current(self, sealed: bytes) -> bool:
        """Whether the value is sealed with the newest key; if not, it wants sealing again."""
        return sealed[:_ID_BYTES] == self._current

    def __repr__(self) -> str:
        return f"Keyring({', '.join(k.hex() for k in self._ciphers)})"


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()[:_ID_BYTES]


def _parts(text: str) -> list[str]:
    return [part for part in (part.strip() for part in text.split(",")) if part]


def _decode(text: str, place: int) -> bytes:
    try:
        if len(text) == 2 * KEY_BYTES:
            return bytes.fromhex(text)
        key = base64.b64decode(
            text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True
        )
    except ValueError:
        raise SettingsError(f"secret key number {place} is neither base64 nor hex") from None
    if len(key) != KEY_BYTES:
        raise SettingsError(f"secret key number {place} holds {len(key)} bytes; it must hold {KEY_BYTES}")
    return key
