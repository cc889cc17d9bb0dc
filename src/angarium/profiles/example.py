"""Builds the example on a product's page: one request, signed like a real one with a public secret."""

from __future__ import annotations

import json
from typing import Final
from uuid import UUID

from angarium.core.nouns import SigningKey
from angarium.core.product import Product

SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 (of the example)
AT: Final = 1_767_225_600.0  # the time of the example, 2026-01-01
MESSAGE: Final = UUID("019b76da-a800-7000-8000-00000000a001")


def example(product: Product) -> tuple[str, list[tuple[str, str]], bytes]:
    """The request: its event type, headers and body, signed with SECRET."""
    events = product.profile.events
    event = next((one for one in events if one.example is not None), None)
    name, data = ("example", {}) if event is None else (event.name, event.example or {})
    message_format = product.message_format
    body = message_format.body(MESSAGE, name, AT, json.dumps(data, separators=(",", ":")).encode())
    headers = message_format.headers(
        message_id=MESSAGE,
        event_type=name,
        body=body,
        keys=message_format.keys([SigningKey(SECRET)]),
        custom={},
        now=AT,
    )
    return name, headers, body
