"""Encrypts all sealed values again with the first key of the ring, or counts those under older keys."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from angarium.core.keyring import NONCE_BYTES, Keyring, SealError
from angarium.core.url import hide_login, is_hidden
from angarium.service.idempotency import ANSWER
from angarium.store import sealed as store
from angarium.store.connection import Connection
from angarium.store.database import Database
from angarium.store.sealed import LOGIN, open_headers, open_keys, seal_headers, seal_keys

T = TypeVar("T")


@dataclass(slots=True)
class SealedCount:
    """Sealed values by the key that encrypts them. An endpoint's keys and headers count as one value."""

    current: int = 0
    old: int = 0
    unreadable: int = 0
    rewrapped: int = 0


class Rewrap:
    """Walks over every sealed value in the database. It can run while the service is running."""

    def __init__(self, database: Database, entropy: Callable[[int], bytes], keyring: Keyring) -> None:
        self._database = database
        self._entropy = entropy
        self._keyring = keyring

    async def check(self) -> SealedCount:
        """Count, without changes."""
        return await self._walk(change=False)

    async def rewrap(self) -> SealedCount:
        """Encrypt again what is under an older key, then count."""
        changed = await self._walk(change=True)
        found = await self._walk(change=False)
        found.rewrapped = changed.old
        return found

    async def _walk(self, *, change: bool) -> SealedCount:
        count = SealedCount()
        endpoint: store.SealedEndpoint | None = None
        while endpoints := await self._page(store.endpoints, endpoint):
            for endpoint in endpoints:
                await self._endpoint(endpoint, count, change)
        answer: store.SealedAnswer | None = None
        while answers := await self._page(store.answers, answer):
            for answer in answers:
                await self._answer(answer, count, change)
        return count

    async def _page(
        self, read: Callable[[Connection, T | None], Awaitable[Sequence[T]]], after: T | None
    ) -> Sequence[T]:
        async with self._database.connection() as connection:
            return await read(connection, after)

    async def _endpoint(self, sealed: store.SealedEndpoint, count: SealedCount, change: bool) -> None:
        ring = self._keyring
        try:
            keys = open_keys(ring, sealed.id, sealed.keys)
            headers = open_headers(ring, sealed.id, sealed.headers)
        except SealError:
            count.unreadable += 1
            return
        url, login = hide_login(sealed.url)
        if login is not None and not is_hidden(login):  # stored before logins were sealed
            headers.setdefault(LOGIN, login)
        elif ring.is_current(sealed.keys) and (sealed.headers is None or ring.is_current(sealed.headers)):
            count.current += 1
            return
        count.old += 1
        if change:
            new_keys = seal_keys(ring, sealed.id, keys, self._entropy(NONCE_BYTES))
            new_headers = seal_headers(ring, sealed.id, headers, self._entropy(NONCE_BYTES))
            async with self._database.connection() as connection:
                await store.replace_endpoint(connection, sealed, url, new_keys, new_headers)

    async def _answer(self, sealed: store.SealedAnswer, count: SealedCount, change: bool) -> None:
        try:
            body = self._keyring.open(sealed.body, ANSWER + sealed.key)
        except SealError:
            count.unreadable += 1
            return
        if self._keyring.is_current(sealed.body):
            count.current += 1
            return
        count.old += 1
        if change:
            new = self._keyring.seal(body, self._entropy(NONCE_BYTES), ANSWER + sealed.key)
            async with self._database.connection() as connection:
                await store.replace_answer(connection, sealed, new)
