"""Secrets: one or several, and what key each of them stands for. No message ever shows one."""

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


def each(secrets: object) -> list[str | bytes]:
    """The secrets as a list; BadSecret unless there is at least one and all are text or bytes."""
    if isinstance(secrets, str | bytes):
        given: list[Any] = [secrets]
    else:
        try:
            given = list(secrets)  # type: ignore[call-overload]
        except Exception as error:  # somebody else's object: it may raise anything
            raise BadSecret("the secrets are neither text nor a list of texts") from error
    if not 0 < len(given) <= _MOST:
        raise BadSecret(f"between 1 and {_MOST} secrets are needed, not {len(given)}")
    for secret in given:
        if not isinstance(secret, str | bytes) or not secret.strip():
            raise BadSecret("a secret is empty, or not text")
    return given


def key(secret: str | bytes, decoding: Decoding = "text", prefix: str = "") -> bytes:
    """The key of an HMAC. Secrets given as bytes are keys already.

    Raises BadSecret for an Ed25519 key: its public half is no secret, so anyone could sign with it.
    """
    start = secret.lstrip()[: len(PUBLIC)]
    if start in (PRIVATE, PUBLIC, PRIVATE.encode(), PUBLIC.encode()):
        raise BadSecret("an Ed25519 key (whpk_ or whsk_) is given where a shared secret, as text, is needed")
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
            f"a secret is not {decoding}; check that it was copied whole, without blanks"
        ) from error
    if not decoded:
        raise BadSecret("a secret has nothing behind its prefix")
    return decoded


def from_base64(text: str, *, padded: bool = False) -> bytes:
    """Standard base64, with its padding or, unless it must be `padded`, without; else ValueError.

    Decoders usually ignore the unused bits of the last character, and so take several texts for one key.
    """
    decoded = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    written = base64.b64encode(decoded).decode("ascii")
    if text != written and (padded or text != written.rstrip("=")):
        raise ValueError("the base64 is not canonical")
    return decoded


def from_hex(text: str) -> bytes:
    """Hexadecimal digits of either case and nothing else; `bytes.fromhex` alone skips blanks."""
    decoded = bytes.fromhex(text)
    if decoded.hex() != text.lower():
        raise ValueError("there is something between the hexadecimal digits")
    return decoded


def ed25519_check(secret: str) -> Callable[[bytes, bytes], bool]:
    """`fits(signature, content)` for a `whpk_` or `whsk_` secret."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError as error:
        raise MissingLibrary("Ed25519 keys need cryptography: pip install cryptography") from error
    try:
        raw = from_base64(secret.partition("_")[2])
        public = Ed25519PublicKey.from_public_bytes(raw[32:] if secret.startswith(PRIVATE) else raw)
    except ValueError as error:
        raise BadSecret("a secret is not an Ed25519 key in base64") from error

    def fits(signature: bytes, content: bytes) -> bool:
        try:
            public.verify(signature, content)
        except InvalidSignature:
            return False
        return True

    return fits


def ed25519_sign(secret: str, content: bytes) -> bytes:
    """A signature with a `whsk_` secret."""
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError as error:
        raise MissingLibrary("Ed25519 keys need cryptography: pip install cryptography") from error
    try:
        private = Ed25519PrivateKey.from_private_bytes(from_base64(secret.removeprefix(PRIVATE))[:32])
    except ValueError as error:
        raise BadSecret("a secret is not an Ed25519 key in base64") from error
    return private.sign(content)
