"""The outbox as an app of Django: put `angarium.outbox.django` into INSTALLED_APPS and migrate.

    with transaction.atomic():
        order.save()
        outbox.add("customer-1", "order.filled", {"id": order.pk})

`manage.py forward_outbox` sends, until it is stopped (or `--once`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def add(
    application: str,
    event_type: str,
    payload: Any,
    *,
    channels: Sequence[str] = (),
    tags: Sequence[str] = (),
    using: str | None = None,
) -> None:
    """Add a message to the transaction that is open. Raises ValueError for what is no JSON."""
    from angarium.outbox.django.models import OutboxMessage
    from angarium.outbox.forward import row

    made = row(application, event_type, payload, channels, tags)
    OutboxMessage.objects.using(using).create(
        id=made.id,
        application=made.application,
        event_type=made.event_type,
        payload=made.payload,
        channels=list(made.channels),
        tags=list(made.tags),
    )
