"""Tables of the store."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Claim(models.Model):
    """An event that is being handled or, without a token, was handled. Times are epoch seconds."""

    source = models.CharField(max_length=100)
    event_id = models.CharField(max_length=255)
    token = models.CharField(max_length=64, null=True)
    until_at = models.FloatField(db_index=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["source", "event_id"], name="angarium_receiver_claim_once")
        ]


class Mark(models.Model):
    """The time of a resource's latest event."""

    source = models.CharField(max_length=100)
    resource = models.CharField(max_length=255)
    seen_at = models.FloatField()
    until_at = models.FloatField(db_index=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["source", "resource"], name="angarium_receiver_mark_once")
        ]
