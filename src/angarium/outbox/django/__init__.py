"""The outbox as a Django app: add `angarium.outbox.django` to INSTALLED_APPS and run `migrate`.

    with transaction.atomic():
        order.save()
        outbox.add("customer-1", "order.filled", {"id": order.pk})

`manage.py forward_outbox` sends the messages until it is stopped, or with `--once` until the outbox is empty.
`--refused` lists the messages that the server refused, and `--restore` queues them again. If the server has
another limit of a request body, set it in ANGARIUM_MAX_BODY in Django's settings, in bytes.
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
    traceparent: str | None = None,
    using: str | None = None,
) -> None:
    """Add a message in the current transaction. Raises ValueError if the server would refuse it.

    `traceparent` is the W3C context of your span; one that is not valid counts as none.
    """
    from django.conf import settings

    from angarium.message_form import MAX_BODY
    from angarium.outbox.django.models import OutboxMessage
    from angarium.outbox.forward import row

    max_body = getattr(settings, "ANGARIUM_MAX_BODY", MAX_BODY)
    made = row(application, event_type, payload, channels, tags, traceparent=traceparent, max_body=max_body)
    OutboxMessage.objects.using(using).create(
        id=made.id,
        application=made.application,
        event_type=made.event_type,
        payload=made.payload,
        channels=list(made.channels),
        tags=list(made.tags),
        traceparent=made.traceparent,
    )
