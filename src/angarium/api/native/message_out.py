"""How messages look on the wire. Payloads go out as the bytes that came in."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from angarium.api.field import wire_time
from angarium.core import ids
from angarium.core.nouns import Message

HIDDEN: Final = msgspec.Raw(b"{}")
EXPIRED: Final = msgspec.Raw(b'{"expired":true}')
_ANY_JSON: Final = msgspec.json.Decoder(msgspec.Raw)


def message_id(message: Message) -> str:
    return ids.text(ids.MESSAGE, message.id)


def head_of(message: Message) -> dict[str, Any]:
    """The fields of a message but for its payload. Null as at Svix, which always writes the first five."""
    out: dict[str, Any] = {
        "id": ids.text(ids.MESSAGE, message.id),
        "eventId": message.event_id,
        "eventType": message.event_type,
        "channels": message.channels or None,
        "timestamp": wire_time(message.created_at),
    }
    if message.tags:
        out["tags"] = message.tags
    return out


def message_out(message: Message, *, with_content: bool) -> dict[str, Any]:
    """A stored message. A payload that is not a JSON object (sent raw) is shown inside of one."""
    return {**head_of(message), "payload": _payload(message) if with_content else HIDDEN}


def _payload(message: Message) -> msgspec.Raw | dict[str, str]:
    if message.payload is None:
        return EXPIRED
    if message.payload[:1] == b"{":
        try:
            return _ANY_JSON.decode(message.payload)
        except (ValueError, RecursionError):
            pass
    return {"rawPayload": message.payload.decode(errors="replace")}


def accepted_out(message: Message, *, with_content: bool, checked: bool, **more: str) -> bytes:
    """The answer to message create, put together around the payload's bytes.

    `checked`: the payload was seen to be JSON on its way in, and is not looked into again.
    """
    head = msgspec.json.encode(head_of(message) | more)
    if not with_content:
        return b'%b,"payload":{}}' % head[:-1]
    payload = message.payload if checked else None
    return b'%b,"payload":%b}' % (head[:-1], payload or msgspec.json.encode(_payload(message)))
