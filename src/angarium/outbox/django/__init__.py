"""The outbox as an app of Django: put `angarium.outbox.django` into INSTALLED_APPS and migrate.

    with transaction.atomic():
        order.save()
        outbox.add("customer-1", "order.filled", {"id": order.pk})

`manage.py forward_outbox` sends, until it is stopped (or `--once`). `--refused` lists what the server
refused, and `--restore` makes it wait to be sent again. ANGARIUM_MAX_BODY in the site's settings: bytes of a
request body that the server takes, where its own settings change that.
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
    """Add a message to the transaction that is open. Raises ValueError for what the server refuses."""
    from django.conf import settings

    from angarium.message_form import MAX_BODY
    from angarium.outbox.django.models import OutboxMessage
    from angarium.outbox.forward import row

    max_body = getattr(settings, "ANGARIUM_MAX_BODY", MAX_BODY)
    made = row(application, event_type, payload, channels, tags, max_body=max_body)
    OutboxMessage.objects.using(using).create(
        id=made.id,
        application=made.application,
        event_type=made.event_type,
        payload=made.payload,
        channels=list(made.channels),
        tags=list(made.tags),
    )
