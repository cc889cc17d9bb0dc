"""A store in Django's database, through its ORM.

Claims must be visible to other processes immediately, so the view runs outside of ATOMIC_REQUESTS. Handlers
open their own `transaction.atomic()`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asgiref.sync import sync_to_async
from django.db import IntegrityError, transaction

from angarium.receiver.backend import Claim, Key, P, Store, T
from angarium.receiver.django import models

_PRUNE_EVERY = 500


class DjangoStore(Store):
    """`using` is the alias of a database."""

    def __init__(self, using: str = "default") -> None:
        self._using = using
        self._claims_made = 0

    def claim(self, key: Key, token: str, *, lease: float, now: float) -> Claim:
        self._claims_made += 1
        if self._claims_made % _PRUNE_EVERY == 0:
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
        """Delete expired rows. `claim` does this from time to time."""
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

    async def _wait(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        # Django has a connection per thread, and closes only those of its own thread for event loops
        result: T = await sync_to_async(method)(*args, **kwargs)
        return result
