"""The signing keys of an endpoint over time: made, chosen, rotated with grace, forgotten."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from angarium.core.errors import BadRequest, Invalid
from angarium.core.nouns import SigningKey
from angarium.core.signature import PRIVATE, check_secret, new_secret

MAX_OLD: Final = 10
DEFAULT_GRACE: Final = 86400
MAX_GRACE: Final = 604800


def chosen(secret: str, *, field: str) -> SigningKey:
    """A key that the caller brings. Raises Invalid on `field`."""
    try:
        check_secret(secret)
    except ValueError as error:
        raise Invalid.field(field, str(error)) from error
    return SigningKey(secret)


def made(entropy: Callable[[int], bytes], *, like: SigningKey | None = None) -> SigningKey:
    """A new key, of the same kind as the one it follows."""
    if like is None or not like.secret.startswith(PRIVATE):
        return SigningKey(new_secret(entropy(24)))
    seed = entropy(32)
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return SigningKey(PRIVATE + base64.b64encode(seed + public).decode("ascii"))


def rotated(
    keys: Sequence[SigningKey], new: SigningKey, *, now: float, grace: float
) -> tuple[SigningKey, ...]:
    """The keys after a rotation, current first; the one it replaces signs for `grace` more seconds.

    Expired keys are forgotten. Raises BadRequest when too many old ones are still in use.
    """
    current, *old = keys
    in_use = [key for key in old if key.expires_at is not None and key.expires_at > now]
    if grace > 0:
        in_use.insert(0, SigningKey(current.secret, now + grace))
    if len(in_use) > MAX_OLD:
        raise BadRequest(
            f"An endpoint has at most {MAX_OLD} old secrets that still sign; wait until one expires.",
            code="limit_reached",
        )
    return (new, *in_use)
