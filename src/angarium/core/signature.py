"""Signs and verifies as Standard Webhooks 1.0.0 defines: v1 (HMAC-SHA256) and v1a (Ed25519).

The signed content is `{message id}.{unix seconds}.{body}`, with exactly the bytes that are sent. The prefix
of a secret gives its type: `whsec_` symmetric, `whsk_` Ed25519 private (seed and public key), `whpk_` Ed25519
public.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from angarium.core import canonical

SYMMETRIC: Final = "whsec_"
PRIVATE: Final = "whsk_"
PUBLIC: Final = "whpk_"
NEW_SECRET_BYTES: Final = 24
MIN_SECRET_BYTES: Final = 24
MAX_SECRET_BYTES: Final = 75
TOLERANCE: Final = 300
FAMILIES: Final = ("webhook", "svix")
"""Each family is three headers: `<family>-id`, `<family>-timestamp`, `<family>-signature`."""


class SignatureError(Exception):
    """The request has no valid signature."""


def new_secret(entropy: bytes) -> str:
    """A symmetric secret from at least 24 random bytes (only the first 24 are used)."""
    if len(entropy) < NEW_SECRET_BYTES:
        raise ValueError(f"a secret needs {NEW_SECRET_BYTES} random bytes")
    return SYMMETRIC + base64.b64encode(entropy[:NEW_SECRET_BYTES]).decode("ascii")


def check_secret(secret: str) -> None:
    """Raise ValueError with a message unless an endpoint can sign with the secret.

    The base64 must be canonical, so that a key has only one text. The error reveals nothing of the secret.
    """
    _signing_key(secret, canonical.standard)


def _signing_key(secret: str, decode: Callable[[str], bytes]) -> bytes:
    if secret.startswith(SYMMETRIC):
        key = _decoded(secret, decode)
        if not MIN_SECRET_BYTES <= len(key) <= MAX_SECRET_BYTES:
            raise ValueError(
                f"the secret has {len(key)} bytes; it must have {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES}"
            )
    elif secret.startswith(PRIVATE):
        key = _decoded(secret, decode)
        if len(key) != 64:
            raise ValueError(f"an Ed25519 secret must have 64 bytes (seed and public key), not {len(key)}")
        if Ed25519PrivateKey.from_private_bytes(key[:32]).public_key().public_bytes_raw() != key[32:]:
            raise ValueError("the second half of the Ed25519 secret is not the public key of its first half")
    else:
        reason = f"; `{PUBLIC}` is a public key, which cannot sign" if secret.startswith(PUBLIC) else ""
        raise ValueError(f"a secret must start with `{SYMMETRIC}` or `{PRIVATE}`, followed by base64{reason}")
    return key


def public_form(secret: str) -> str:
    """The secret that the owner of an endpoint verifies with: never an Ed25519 private key."""
    if secret.startswith(PRIVATE):
        return PUBLIC + base64.b64encode(secret_bytes(secret)[32:]).decode("ascii")
    return secret


def secret_bytes(secret: str) -> bytes:
    """The key bytes of a stored secret. Accepts non-canonical base64."""
    return _decoded(secret, _any_spelling)


class Signer:
    """Signs with one secret. The key is decoded once, because `sign` is on the hot path."""

    __slots__ = ("sign",)

    sign: Callable[[str, int, bytes], str]
    """`sign(message_id, timestamp, body)` returns one entry of the signature header."""

    def __init__(self, secret: str) -> None:
        # stored secrets must continue to sign, even with non-canonical base64
        key = _signing_key(secret, _any_spelling)
        self.sign = _hmac_signer(key) if secret.startswith(SYMMETRIC) else _ed25519_signer(key)

    def __repr__(self) -> str:
        return "Signer(…)"


def _hmac_signer(key: bytes) -> Callable[[str, int, bytes], str]:
    keyed = hmac.new(key, digestmod="sha256")
    encode = binascii.b2a_base64

    def sign(message_id: str, timestamp: int, body: bytes) -> str:
        one = keyed.copy()
        one.update(f"{message_id}.{timestamp}.".encode())
        one.update(body)
        return "v1," + encode(one.digest(), newline=False).decode("ascii")

    return sign


def _ed25519_signer(raw: bytes) -> Callable[[str, int, bytes], str]:
    key = Ed25519PrivateKey.from_private_bytes(raw[:32])
    encode = binascii.b2a_base64

    def sign(message_id: str, timestamp: int, body: bytes) -> str:
        return "v1a," + encode(key.sign(_content(message_id, timestamp, body)), newline=False).decode("ascii")

    return sign


def verify(
    body: bytes,
    headers: Mapping[str, str],
    secrets: Sequence[str],
    *,
    now: float,
    tolerance: float = TOLERANCE,
    families: Sequence[str] = FAMILIES,
) -> None:
    """Raise SignatureError unless a signature matches one of the secrets (`whsec_`, `whsk_` or `whpk_`).

    Header names are case-insensitive. Entries of unknown versions are ignored. Every comparison takes
    constant time. No input raises anything but SignatureError.
    """
    lowered = {str(name).lower(): str(value) for name, value in headers.items()}
    for family in families:
        parts = [lowered.get(f"{family}-{part}", "") for part in ("id", "timestamp", "signature")]
        if any(parts):
            break
    else:
        raise SignatureError("the headers webhook-id, webhook-timestamp and webhook-signature are missing")
    message_id, stamp, listed = parts
    if not (message_id and stamp and listed):
        raise SignatureError(f"one of {family}-id, {family}-timestamp and {family}-signature is missing")
    # Decimal digits only: int() alone would also take signs, underscores and other scripts' digits.
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 15):
        raise SignatureError("the timestamp is not a whole number of seconds")
    timestamp = int(stamp)
    if timestamp < now - tolerance:
        raise SignatureError("the timestamp is too old")
    if timestamp > now + tolerance:
        raise SignatureError("the timestamp is too far in the future")
    try:
        content = _content(message_id, stamp, body)
    except UnicodeEncodeError:
        raise SignatureError("the id is not valid text") from None
    checks = [_check(secret) for secret in secrets]
    for entry in listed.split(" "):
        version, _, encoded = entry.partition(",")
        for wanted, fits in checks:
            if version == wanted and encoded and fits(content, encoded):
                return
    raise SignatureError("no signature fits")


def _check(secret: str) -> tuple[str, Callable[[bytes, str], bool]]:
    """The version that this secret verifies, and its comparison function."""
    try:
        if secret.startswith(SYMMETRIC):
            key = _decoded(secret, _unpadded)
            if not key:
                raise ValueError
            return "v1", lambda content, given: _same_hmac(key, content, given)
        if secret.startswith((PRIVATE, PUBLIC)):
            raw = _decoded(secret, _unpadded)
            public = Ed25519PublicKey.from_public_bytes(raw[32:] if secret.startswith(PRIVATE) else raw)
            return "v1a", lambda content, given: _fits_ed25519(public, content, given)
        raise ValueError
    except ValueError:
        raise SignatureError("a secret to verify with is not valid") from None


def _same_hmac(key: bytes, content: bytes, given: str) -> bool:
    expected = base64.b64encode(hmac.digest(key, content, "sha256"))
    return hmac.compare_digest(expected, given.encode("utf-8", "surrogatepass"))


def _fits_ed25519(public: Ed25519PublicKey, content: bytes, given: str) -> bool:
    try:
        public.verify(canonical.standard(given), content)
    except (ValueError, InvalidSignature):
        return False
    return True


def _content(message_id: str, timestamp: int | str, body: bytes) -> bytes:
    return f"{message_id}.{timestamp}.".encode() + body


def _decoded(secret: str, decode: Callable[[str], bytes]) -> bytes:
    try:
        return decode(secret.partition("_")[2])
    except ValueError:
        raise ValueError("the part after the prefix is not canonical standard base64 with padding") from None


def _any_spelling(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _unpadded(text: str) -> bytes:
    """Accepts secrets without padding, which some products issue."""
    return _any_spelling(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))
