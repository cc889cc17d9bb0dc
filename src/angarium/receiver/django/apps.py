"""The app's name and label."""

from __future__ import annotations

from django.apps import AppConfig


class ReceiverConfig(AppConfig):
    name = "angarium.receiver.django"
    label = "angarium_receiver"
    verbose_name = "Webhooks received"
    default_auto_field = "django.db.models.BigAutoField"
