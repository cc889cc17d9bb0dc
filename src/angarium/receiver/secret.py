"""Reads secrets and derives keys from them. No error message contains a secret.

The server has the same rules for `whsec_`, `whsk_` and `whpk_`. They are copied here, because the receiver
imports nothing of the server.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from typing import Any, Literal

from angarium.receiver.errors import BadSecret, MissingLibrary

Secrets = str | bytes | Iterable[str | bytes]
Decoding = Literal["text", "base64", "hex"]

SYMMETRIC = "whsec_"
PRIVATE = "whsk_"
PUBLIC = "whpk_"
_MOST = 100
_NOT_ED25519 = "a secret is not a valid Ed25519 key in base64"


def each(secrets: object) -> list[str | bytes]:
    """The secrets as a list. BadSecret unless there is at least one, and all are strings or bytes."""
    if isinstance(secrets, str | bytes):
        given: list[Any] = [secrets]
    else:
        try:
            given = list(secrets)  # type: ignore[call-overload]
        except Exception as error:  # the given object may raise any exception
            raise BadSecret("the secrets must be a string, bytes, or a list of these") from error
    if not 0 < len(given) <= _MOST:
        raise BadSecret(f"1 to {_MOST} secrets are required, not {len(given)}")
    for secret in given:
        if not isinstance(secret, str | bytes) or not secret.strip():
            raise BadSecret("a secret must be a string or bytes, and not empty")
    return given


def key(secret: str | bytes, decoding: Decoding = "text", prefix: str = "") -> bytes:
    """The HMAC key. A secret in bytes is the key itself.

    Raises BadSecret for an Ed25519 key: a public key is not secret, so anyone could sign with it.
    """
    start = secret.lstrip()[: len(PUBLIC)]
    if start in (PRIVATE, PUBLIC, PRIVATE.encode(), PUBLIC.encode()):
        raise BadSecret(
            "an Ed25519 key (whpk_ or whsk_) is not a shared secret; pass it to Standard Webhooks as a string"
        )
    if isinstance(secret, bytes):
        return secret
    text = secret.removeprefix(prefix)
    try:
        if decoding == "base64":
            decoded = from_base64(text)
        elif decoding == "hex":
            decoded = from_hex(text)
        else:
            decoded = text.encode("utf-8")
    except ValueError as error:
        raise BadSecret(
            f"a secret is not valid {decoding}; check that it was copied completely, without spaces"
        ) from error
    if not decoded:
        raise BadSecret("a secret is empty after its prefix")
    return decoded


def from_base64(text: str, *, padded: bool = False) -> bytes:
    """Decode standard base64, with or (unless `padded`) without padding. Raises ValueError.

    Decoders usually ignore the unused bits of the last character, so several texts would give the same key.
    """
    decoded = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    written = base64.b64encode(decoded).decode("ascii")
    if text != written and (padded or text != written.rstrip("=")):
        raise ValueError("the base64 is not canonical")
    return decoded


def from_hex(text: str) -> bytes:
    """Decode hexadecimal digits in upper or lower case. Raises ValueError, also for spaces."""
    decoded = bytes.fromhex(text)
    if decoded.hex() != text.lower():
        raise ValueError("only hexadecimal digits are allowed")
    return decoded


def ed25519_check(secret: str) -> Callable[[bytes, bytes], bool]:
    """A function `fits(signature, content)` for a `whpk_` or `whsk_` secret."""
    ed25519, invalid = _ed25519()
    try:
        raw = from_base64(secret.partition("_")[2])
        public = ed25519.Ed25519PublicKey.from_public_bytes(raw[32:] if secret.startswith(PRIVATE) else raw)
    except ValueError as error:
        raise BadSecret(_NOT_ED25519) from error

    def fits(signature: bytes, content: bytes) -> bool:
        try:
            public.verify(signature, content)
        except invalid:
            return False
        return True

    return fits


def ed25519_sign(secret: str, content: bytes) -> bytes:
    """A signature with a `whsk_` secret."""
    ed25519, _ = _ed25519()
    try:
        raw = from_base64(secret.removeprefix(PRIVATE))
        return bytes(ed25519.Ed25519PrivateKey.from_private_bytes(raw[:32]).sign(content))
    except ValueError as error:
        raise BadSecret(_NOT_ED25519) from error


def _ed25519() -> tuple[Any, type[Exception]]:
    """The module of the library, and its error for an invalid signature."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise MissingLibrary("Ed25519 keys need cryptography: pip install cryptography") from error
    return ed25519, InvalidSignature
