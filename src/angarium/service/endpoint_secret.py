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


def in_force(keys: Sequence[SigningKey], now: float) -> SigningKey:
    """The key that signs where there is room for one signature only. One that is pending is not yet it."""
    living = [key for key in keys if key.expires_at is None or key.expires_at > now]
    return next((key for key in living if (key.active_at or 0.0) <= now), keys[0])


def pending(keys: Sequence[SigningKey], now: float) -> SigningKey | None:
    """The key that is to replace the one in force, if there is one."""
    return next((key for key in keys if key.active_at is not None and key.active_at > now), None)


def rotated(
    keys: Sequence[SigningKey], new: SigningKey, *, now: float, grace: float, two_phase: bool = False
) -> tuple[SigningKey, ...]:
    """The keys after a rotation, new first; the one it replaces signs for `grace` more seconds.

    `two_phase`: until then the new one is pending, and the old one in force. Expired keys are forgotten,
    and a pending one that never came into force too. Raises BadRequest when too many old ones are in use.
    """
    current = in_force(keys, now)
    in_use = [
        key for key in keys if key is not current and key.expires_at is not None and key.expires_at > now
    ]
    starts = now
    if grace > 0:
        in_use.insert(0, SigningKey(current.secret, now + grace))
        if two_phase:
            starts = now + grace
    if len(in_use) > MAX_OLD:
        raise BadRequest(
            f"An endpoint has at most {MAX_OLD} old secrets that still sign; wait until one expires.",
            code="limit_reached",
        )
    return (SigningKey(new.secret, None, starts), *in_use)


def activated(keys: Sequence[SigningKey], now: float) -> tuple[SigningKey, ...]:
    """The keys once the pending one is in force; the others sign beside it as long as they would have.

    Raises BadRequest when none is pending.
    """
    new = pending(keys, now)
    if new is None:
        raise BadRequest("No new secret is waiting to be activated.", code="no_pending_secret")
    return (SigningKey(new.secret, None, now), *(key for key in keys if key is not new))
