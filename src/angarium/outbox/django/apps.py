"""The app's name and label."""

from __future__ import annotations

from django.apps import AppConfig


class OutboxConfig(AppConfig):
    name = "angarium.outbox.django"
    label = "angarium_outbox"
    verbose_name = "Angarium outbox"
    default_auto_field = "django.db.models.BigAutoField"
