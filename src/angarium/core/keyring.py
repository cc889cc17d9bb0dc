"""Encrypts secrets at rest with AES-256-GCM and a list of keys.

The first key encrypts, any key decrypts. To rotate, put a new key first. A sealed value is the key's id
(4 bytes of its SHA-256), the nonce (12 bytes) and the ciphertext with its tag. The context (the owner of the
value, such as the endpoint's id) is authenticated, so a value moved to another row cannot be decrypted.
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
    """Encrypts and decrypts values. Holds only the keys."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys:
            raise SettingsError("at least one secret key is needed")
        if any(len(key) != KEY_BYTES for key in keys):
            raise SettingsError(f"a secret key must be exactly {KEY_BYTES} bytes")
        self._current = _key_id(keys[0])
        self._ciphers = {_key_id(key): AESGCM(key) for key in reversed(keys)}
        if len(self._ciphers) != len(set(keys)):
            raise SettingsError("two secret keys have the same id; replace the newer one")

    @classmethod
    def parse(cls, text: str) -> Keyring:
        """Keys from a setting: 32 bytes each in base64 or hex, comma-separated, newest first."""
        return cls([_decode(part, place) for place, part in enumerate(_parts(text), 1)])

    def replace(self, other: Keyring) -> None:
        """Use the keys of another ring from now on."""
        self._current, self._ciphers = other._current, other._ciphers

    def seal(self, plain: bytes, nonce: bytes, context: bytes) -> bytes:
        """Encrypt under the current key. `nonce` is 12 fresh random bytes."""
        if len(nonce) != NONCE_BYTES:
            raise ValueError(f"a nonce is {NONCE_BYTES} bytes")
        return self._current + nonce + self._ciphers[self._current].encrypt(nonce, plain, context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Decrypt. Raises SealError, which says whether a key is missing or the value was changed."""
        if len(sealed) < _ID_BYTES + NONCE_BYTES + _TAG_BYTES:
            raise SealError("The stored secret is too short: it was truncated or changed.")
        key_id, nonce = sealed[:_ID_BYTES], sealed[_ID_BYTES : _ID_BYTES + NONCE_BYTES]
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            known = ", ".join(k.hex() for k in self._ciphers)
            raise SealError(
                f"The stored secret is encrypted with key {key_id.hex()}, which is not in "
                f"ANGARIUM_SECRET_KEY ({known}). Add that key to the end of the list."
            )
        try:
            return cipher.decrypt(nonce, sealed[_ID_BYTES + NONCE_BYTES :], context)
        except InvalidTag:
            raise SealError(
                f"The stored secret cannot be decrypted with key {key_id.hex()}: "
                "it was changed or moved from another row."
            ) from None

    @property
    def current(self) -> bytes:
        """The id of the current key, with which each value that it encrypts begins."""
        return self._current

    @property
    def rotating(self) -> bool:
        """Whether there are older keys beside the current one."""
        return len(self._ciphers) > 1

    def is_current(self, sealed: bytes) -> bool:
        """Whether the value is encrypted with the current key. If not, encrypt it again."""
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
        raise SettingsError(f"secret key number {place} has {len(key)} bytes instead of {KEY_BYTES}")
    return key
