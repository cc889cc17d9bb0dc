"""Creates, shows and rotates the signing keys of endpoints. A replaced key signs for a grace period."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from angarium.clock import Clock
from angarium.core.audit import secret_view
from angarium.core.errors import BadRequest, Invalid
from angarium.core.keyring import Keyring
from angarium.core.nouns import Endpoint, SigningKey
from angarium.core.signature import PRIVATE, check_secret, new_secret
from angarium.service.endpoint_writer import EndpointWriter
from angarium.store.database import Database

MAX_OLD: Final = 10
DEFAULT_GRACE: Final = 86400
MAX_GRACE: Final = 604800


class EndpointSecrets:
    """Shows and replaces the secrets of endpoints."""

    def __init__(
        self, database: Database, clock: Clock, entropy: Callable[[int], bytes], keyring: Keyring
    ) -> None:
        self._database = database
        self._clock = clock
        self._entropy = entropy
        self._writer = EndpointWriter(clock, entropy, keyring)

    async def reveal(self, app_id: UUID, ref: str) -> Endpoint:
        """The endpoint with its secret. The audit log records that it was shown."""
        async with self._database.transaction() as connection:
            found = await self._writer.find(connection, app_id, ref)
            await self._writer.record(connection, found, "endpoint.secret.revealed", after=secret_view(found))
        return found

    async def rotate(
        self, app_id: UUID, ref: str, secret: str | None, grace: float, *, two_phase: bool = False
    ) -> SigningKey:
        """Set a new secret, given or generated; the old one also signs for `grace` seconds.

        `two_phase`: where only one signature fits, the old secret is used until then, or until the new one
        is activated.
        """
        async with self._database.transaction() as connection:
            found = await self._writer.find(connection, app_id, ref, lock=True)
            now = self._clock.now()
            if secret is None:
                new = made(self._entropy, like=in_force(found.keys, now))
            else:
                new = chosen(secret, field="key")
            keys = rotated(found.keys, new, now=now, grace=grace, two_phase=two_phase)
            changed = replace(found, keys=keys)
            await self._writer.write(connection, found, changed, "endpoint.secret.rotated")
        return keys[0]

    async def activate(self, app_id: UUID, ref: str) -> Endpoint:
        """Put the pending secret in force now. Raises NotFound, or BadRequest when none is pending."""
        async with self._database.transaction() as connection:
            found = await self._writer.find(connection, app_id, ref, lock=True)
            changed = replace(found, keys=activated(found.keys, self._clock.now()))
            return await self._writer.write(connection, found, changed, "endpoint.secret.activated")


def chosen(secret: str, *, field: str) -> SigningKey:
    """A key given by the caller. Raises Invalid on `field`."""
    try:
        check_secret(secret)
    except ValueError as error:
        raise Invalid.field(field, str(error)) from error
    return SigningKey(secret)


def made(entropy: Callable[[int], bytes], *, like: SigningKey | None = None) -> SigningKey:
    """A generated key, of the same kind as `like`."""
    if like is None or not like.secret.startswith(PRIVATE):
        return SigningKey(new_secret(entropy(24)))
    seed = entropy(32)
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return SigningKey(PRIVATE + base64.b64encode(seed + public).decode("ascii"))


def in_force(keys: Sequence[SigningKey], now: float) -> SigningKey:
    """The key that signs where only one signature fits: the first that is not pending."""
    living = [key for key in keys if key.expires_at is None or key.expires_at > now]
    return next((key for key in living if (key.active_at or 0.0) <= now), keys[0])


def pending(keys: Sequence[SigningKey], now: float) -> SigningKey | None:
    """The key that will replace the current one, if there is one."""
    return next((key for key in keys if key.active_at is not None and key.active_at > now), None)


def rotated(
    keys: Sequence[SigningKey], new: SigningKey, *, now: float, grace: float, two_phase: bool = False
) -> tuple[SigningKey, ...]:
    """The keys after a rotation, new first; the replaced one signs for `grace` more seconds.

    `two_phase`: until then the new key is pending. Expired keys are dropped, and so is a pending key that
    was never activated. Raises BadRequest when too many old keys are in use.
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
            f"An endpoint can have at most {MAX_OLD} old secrets in use. Wait until one expires.",
            code="limit_reached",
        )
    return (SigningKey(new.secret, None, starts), *in_use)


def activated(keys: Sequence[SigningKey], now: float) -> tuple[SigningKey, ...]:
    """The keys after the pending one is activated; the expiry of the others does not change.

    Raises BadRequest when none is pending.
    """
    new = pending(keys, now)
    if new is None:
        raise BadRequest("There is no pending secret to activate.", code="no_pending_secret")
    return (SigningKey(new.secret, None, now), *(key for key in keys if key is not new))
