"""A store in Django's database, by its ORM.

A claim must be seen by others at once, so the view runs outside of ATOMIC_REQUESTS; a handler opens its own
`transaction.atomic()`.
"""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.db import IntegrityError, transaction

from angarium.receiver.backend import Claim, Key, Store
from angarium.receiver.django import models

_FREE_EVERY = 500


class DjangoStore(Store):
    """`using` is the alias of a database."""

    def __init__(self, using: str = "default") -> None:
        self._using = using
        self._claims_made = 0

    def claim(self, key: Key, token: str, *, lease: float, now: float) -> Claim:
        self._claims_made += 1
        if self._claims_made % _FREE_EVERY == 0:
            self.prune(now)
        for _ in range(3):  # again if the row is deleted between two statements
            if self._insert(
                models.Claim, source=key.source, event_id=key.id, token=token, until_at=now + lease
            ):
                return Claim.TAKEN
            row = self._claim(key)
            if row.filter(until_at__lte=now).update(token=token, until_at=now + lease):
                return Claim.TAKEN
            if found := row.values_list("token", flat=True)[:1]:
                return Claim.DONE if found[0] is None else Claim.HELD
        return Claim.HELD

    def done(self, key: Key, token: str, *, ttl: float, now: float) -> None:
        if not self._claim(key).update(token=None, until_at=now + ttl):
            self._insert(models.Claim, source=key.source, event_id=key.id, token=None, until_at=now + ttl)

    def release(self, key: Key, token: str) -> None:
        self._claim(key).filter(token=token).delete()

    def advance(self, key: Key, at: float, *, ttl: float, now: float) -> bool:
        if self._insert(models.Mark, source=key.source, resource=key.id, seen_at=at, until_at=now + ttl):
            return True
        row = models.Mark.objects.using(self._using).filter(source=key.source, resource=key.id)
        earlier = row.filter(seen_at__lte=at) | row.filter(until_at__lte=now)
        return bool(earlier.update(seen_at=at, until_at=now + ttl))

    def prune(self, now: float) -> None:
        """Delete what has been remembered for long enough. Happens by itself now and then."""
        for model in (models.Claim, models.Mark):
            model.objects.using(self._using).filter(until_at__lte=now).delete()

    def _claim(self, key: Key) -> Any:
        return models.Claim.objects.using(self._using).filter(source=key.source, event_id=key.id)

    def _insert(self, model: Any, **values: object) -> bool:
        try:
            with transaction.atomic(using=self._using):
                model.objects.using(self._using).create(**values)
        except IntegrityError:
            return False
        return True

    # Django keeps a connection for each thread, and closes those of its own thread for event loops only

    async def aclaim(self, key: Key, token: str, *, lease: float, now: float) -> Claim:
        claimed: Claim = await sync_to_async(self.claim)(key, token, lease=lease, now=now)
        return claimed

    async def adone(self, key: Key, token: str, *, ttl: float, now: float) -> None:
        await sync_to_async(self.done)(key, token, ttl=ttl, now=now)

    async def arelease(self, key: Key, token: str) -> None:
        await sync_to_async(self.release)(key, token)

    async def aadvance(self, key: Key, at: float, *, ttl: float, now: float) -> bool:
        moved: bool = await sync_to_async(self.advance)(key, at, ttl=ttl, now=now)
        return moved
