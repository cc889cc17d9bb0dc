"""Implements idempotency keys: a second request with a key waits for the first and gets its response.

Keys are stored in the database, so they hold across servers. If a server dies during a request, its key stays
locked for `LOCK` seconds; then the next request with the key is executed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from angarium.clock import Clock, datetime_at
from angarium.core.errors import Conflict
from angarium.core.keyring import NONCE_BYTES, Keyring
from angarium.service.use_case import UseCase
from angarium.store import idempotency as store
from angarium.store.database import Database

LOCK: Final = 30.0
KEEP: Final = 12 * 3600.0
WAIT: Final = 10.0
_POLL: Final = 0.05
ANSWER: Final = b"idempotency:"


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """The stored response."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class KeyClaim:
    """A lock on a key. Its holder executes the request and must call `finish` or `abandon`."""

    key: bytes
    locked_until: datetime


class Idempotency(UseCase):
    """Begins, finishes or abandons a request under its key (32 bytes)."""

    def __init__(
        self, database: Database, clock: Clock, entropy: Callable[[int], bytes], keyring: Keyring
    ) -> None:
        super().__init__(database, clock, entropy)
        self._keyring = keyring

    async def begin(self, key: bytes) -> StoredAnswer | KeyClaim:
        """Lock the key, or return its response. Raises Conflict when the first request takes too long."""
        deadline = self._clock.steady() + WAIT
        pause = asyncio.Event()
        while True:
            at = self._clock.now()
            locked_until = datetime_at(at + LOCK)
            async with self._database.connection() as connection:
                if await store.begin(
                    connection,
                    key,
                    now=datetime_at(at),
                    locked_until=locked_until,
                    expires_at=datetime_at(at + KEEP),
                ):
                    return KeyClaim(key, locked_until)
                known = await store.find(connection, key)
            if known is not None and known.status is not None:
                body = b"" if known.body is None else self._keyring.open(known.body, ANSWER + key)
                return StoredAnswer(known.status, body)
            if self._clock.steady() >= deadline:
                raise Conflict("The first request with this idempotency key is still in progress.")
            await self._clock.wait(pause, at + _POLL)

    async def finish(
        self, hold: KeyClaim, status: int, body: bytes, about: tuple[str, str] | None = None
    ) -> None:
        """Store the response for 12 hours. `about`: the organization and the reference of the application
        that it is about. It is erased with that."""
        sealed = self._keyring.seal(body, self._entropy(NONCE_BYTES), ANSWER + hold.key)
        async with self._database.connection() as connection:
            await store.finish(
                connection,
                hold.key,
                locked_until=hold.locked_until,
                status=status,
                body=sealed,
                expires_at=datetime_at(self._clock.now() + KEEP),
                subject=None if about is None else store.subject_of(*about),
            )

    async def abandon(self, hold: KeyClaim) -> None:
        """Release the key without a response: the next request with it is executed."""
        async with self._database.connection() as connection:
            await store.abandon(connection, hold.key, locked_until=hold.locked_until)
