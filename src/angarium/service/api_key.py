"""Creates, verifies and revokes API keys of products' own APIs.

Keys are random and long, so a plain hash protects them. Comparisons take constant time. A key belongs to an
organization, and to one of its applications unless it is the operator's key.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Final
from uuid import UUID

from angarium.clock import Clock, datetime_at
from angarium.core import ids
from angarium.core.errors import Conflict, NotAuthenticated
from angarium.service.use_case import Subject, UseCase
from angarium.store import api_key as store
from angarium.store.api_key import ApiKey
from angarium.store.database import Database

PREFIX: Final = "key_"  # of a key's id, which is not secret
NOTE_USE_EVERY: Final = 60.0  # seconds between notes of a key's use
_BYTES: Final = 24
_HIDDEN_DIGITS: Final = _BYTES * 2 - 4  # of a key: only what precedes them is stored and shown
_MOST_NOTED: Final = 10_000


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """A new key, shown once. `secret` is empty for a bearer key."""

    key: str = field(repr=False)
    secret: str = field(repr=False)


class ApiKeys(UseCase):
    """Creates, verifies and revokes API keys."""

    def __init__(self, database: Database, clock: Clock, entropy: Callable[[int], bytes]) -> None:
        super().__init__(database, clock, entropy)
        self._noted: dict[UUID, float] = {}

    def draw(self, prefix: str, *, with_secret: bool) -> NewApiKey:
        """Generate a key; it is valid once `register` stores it."""
        secret = self._entropy(_BYTES).hex() if with_secret else ""
        return NewApiKey(prefix + self._entropy(_BYTES).hex(), secret)

    async def register(
        self,
        shown: NewApiKey,
        *,
        org_id: str,
        app_id: UUID | None,
        scope: str,
        name: str,
        unique: bool = False,
    ) -> ApiKey:
        """Store the key. Registering the same key again changes only its application.

        If a valid key of the application has the name, the new one gets a number. `unique`: it raises
        Conflict instead. Raises NotFound if the application was deleted meanwhile.
        """
        now = self._clock.now()
        async with self._database.transaction() as connection:
            taken = set() if app_id is None else await store.names(connection, org_id, app_id)
            if unique and name in taken:
                raise Conflict(f"The application has a key with the name {name!r}.")
            name = next(one for one in _numbered(name) if one not in taken)
            key = ApiKey(
                ids.new(now, self._entropy(8)), org_id, app_id, scope, name,
                _hash(shown.secret) if shown.secret else None, datetime_at(now), None, None,
                shown.key[: -_HIDDEN_DIGITS],
            )  # fmt: skip
            if await store.create(connection, key, _hash(shown.key)):
                subject, said = Subject(org_id, app_id, name_of(key.id)), {"scope": scope, "name": name}
                await self._record(connection, "api_key.made", subject, after=said)
        return key

    async def verify(self, key: str, secret: str = "") -> ApiKey:
        """The stored key that matches. Raises NotAuthenticated."""
        async with self._database.connection() as connection:
            found = await store.find(connection, _hash(key))
            expected = b"" if found is None or found.secret is None else found.secret
            given = _hash(secret) if secret else b""
            if not hmac.compare_digest(expected, given) or found is None:
                raise NotAuthenticated()
            now = self._clock.now()
            if now >= self._noted.get(found.id, 0.0):
                if len(self._noted) >= _MOST_NOTED:
                    self._noted.clear()
                self._noted[found.id] = now + NOTE_USE_EVERY
                await store.used(connection, found.id, datetime_at(now))
        return found

    async def keys(self, org_id: str) -> list[ApiKey]:
        """The organization's keys, without their values: only hashes are stored."""
        async with self._database.connection() as connection:
            return await store.page(connection, org_id)

    async def revoke(self, org_id: str, key_id: UUID) -> None:
        """Revoke a key, and with it the portal links and sessions that were made with it.

        They name the key as their origin, so nothing else needs to be stored.
        """
        async with self._database.transaction() as connection:
            revoked = await store.revoke(connection, org_id, key_id, self._now())
            if revoked is None:
                return
            subject = Subject(org_id, revoked.app_id, name_of(key_id))
            said = {"scope": revoked.scope, "name": revoked.name}
            await self._record(connection, "api_key.revoked", subject, before=said)


def name_of(key_id: UUID) -> str:
    """The public id of a key; also the session id of links made with it, so that they can be expired."""
    return ids.text(PREFIX, key_id)


def _numbered(name: str) -> Iterator[str]:
    """The name, then the name followed by 2, 3 and so on."""
    yield name
    for number in count(2):
        yield f"{name} {number}"


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
