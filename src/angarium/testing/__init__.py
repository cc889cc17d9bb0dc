"""Helps to test code that sends or receives webhooks: `sign`, `vectors`, and WebhookInbox.

In pytest, the fixture `webhook_inbox` needs no import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from angarium.testing.inbox import Message, WebhookInbox
    from angarium.testing.signing import Vector, sign, vectors

_HOMES = {
    "Message": "inbox",
    "Vector": "signing",
    "WebhookInbox": "inbox",
    "sign": "signing",
    "vectors": "signing",
}


def __getattr__(name: str) -> Any:
    # imported when used: pytest loads the plugin, and so this package, in every run
    if name in _HOMES:
        return getattr(import_module(f"angarium.testing.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["Message", "Vector", "WebhookInbox", "sign", "vectors"]
