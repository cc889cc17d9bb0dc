"""The table of the outbox, and its operations."""

from __future__ import annotations

import time
from collections.abc import Sequence

from django.db import connections, models, transaction

from angarium.outbox.forward import OutboxRow


class OutboxMessage(models.Model):
    """A message that is not sent yet, or was refused."""

    position = models.BigAutoField(primary_key=True)
    id = models.CharField(max_length=64, unique=True)
    application = models.CharField(max_length=256)
    event_type = models.CharField(max_length=256)
    payload = models.BinaryField()
    channels = models.JSONField(default=list)
    tags = models.JSONField(default=list)
    traceparent = models.CharField(max_length=64, null=True, blank=True)
    claimed_until = models.FloatField(default=0.0, db_index=True)
    refused = models.BooleanField(default=False)
    error = models.TextField(null=True, blank=True)

    class Meta:
        app_label = "angarium_outbox"

    def __str__(self) -> str:
        return f"{self.event_type} for {self.application}"


class DjangoOutbox:
    """The outbox in one of Django's databases."""

    def __init__(self, using: str = "default") -> None:
        self._using = using

    def claim(self, limit: int, seconds: float) -> list[OutboxRow]:
        now = time.time()
        with transaction.atomic(using=self._using):
            free = OutboxMessage.objects.using(self._using).filter(claimed_until__lt=now, refused=False)
            if connections[self._using].features.has_select_for_update_skip_locked:
                free = free.select_for_update(skip_locked=True)
            found = list(free.order_by("position")[:limit])
            taken = OutboxMessage.objects.using(self._using).filter(
                pk__in=[one.pk for one in found], claimed_until__lt=now
            )
            if taken.update(claimed_until=now + seconds) != len(found):
                transaction.set_rollback(True, using=self._using)  # another forwarder claimed some in between
                return []
        return list(map(_row, found))

    def remove(self, ids: Sequence[str]) -> None:
        OutboxMessage.objects.using(self._using).filter(id__in=ids).delete()

    def release(self, ids: Sequence[str]) -> None:
        OutboxMessage.objects.using(self._using).filter(id__in=ids).update(claimed_until=0.0)

    def refuse(self, id: str, words: str) -> None:  # noqa: A002
        OutboxMessage.objects.using(self._using).filter(id=id).update(refused=True, error=words)

    def refused(self, limit: int = 100) -> list[tuple[OutboxRow, str]]:
        aside = OutboxMessage.objects.using(self._using).filter(refused=True).order_by("position")[:limit]
        return [(_row(one), one.error or "") for one in aside]

    def restore(self, ids: Sequence[str] | None = None) -> int:
        back = OutboxMessage.objects.using(self._using).filter(refused=True)
        if ids is not None:
            back = back.filter(id__in=ids)
        return int(back.update(refused=False, error=None, claimed_until=0.0))


def _row(one: OutboxMessage) -> OutboxRow:
    return OutboxRow(
        one.id,
        one.application,
        one.event_type,
        bytes(one.payload),
        tuple(one.channels),
        tuple(one.tags),
        one.traceparent,
    )
