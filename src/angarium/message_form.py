"""Checks the fields and the payload of a message: one set of rules for the server, client and outbox.

This module imports the standard library and `json_bounds` only, so every package may import it. The server
parses a body with a faster parser. `check_payload` accepts the same texts, which `tests/outbox/test_form.py`
verifies with generated messages.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from angarium import json_bounds

MAX_NAME: Final = 256
MAX_UID: Final = 256
MAX_CHANNEL: Final = 128
MAX_CHANNELS: Final = 10
MAX_TAG: Final = 128
MAX_TAGS: Final = 10
MAX_BODY: Final = 2 * 1024 * 1024
"""Maximum size of a request body in bytes, unless the settings or a profile set another."""
MAX_DEPTH: Final = 100
"""Levels of nested objects and lists in a payload. Many receivers' parsers accept no more."""
MESSAGE_PREFIX: Final = "msg_"

_NAME: Final = re.compile(r"[a-zA-Z0-9\-_.]{1,256}")
_CHANNEL: Final = re.compile(r"[a-zA-Z0-9\-_.:+]{1,128}")
_TAG: Final = re.compile(r"[a-zA-Z0-9\-_./\\#]{1,128}")
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

Refuse = Callable[[str, str], None]
"""Called with the name of a field and what is wrong with it."""


def is_event_type(value: str) -> bool:
    """Whether `value` can name an event type. An application's id or uid has the same characters."""
    return _NAME.fullmatch(value) is not None


def is_uid(value: str, prefix: str) -> bool:
    """Whether `value` can be an operator's own id. It must not start with the `prefix` of generated ids."""
    return _NAME.fullmatch(value) is not None and not value.startswith(prefix)


def is_channel(value: str) -> bool:
    """Whether `value` can name a channel."""
    return _CHANNEL.fullmatch(value) is not None


def is_tag(value: str) -> bool:
    """Whether `value` can be a message tag."""
    return _TAG.fullmatch(value) is not None


def is_traceparent(value: str) -> bool:
    """Whether `value` has the form of a `traceparent` header of W3C Trace Context."""
    return _TRACEPARENT.fullmatch(value) is not None


def check_fields(
    event_type: str,
    event_id: str | None,
    channels: Sequence[str] | None,
    tags: Sequence[str] | None,
    refuse: Refuse,
) -> None:
    """Call `refuse` for each field that the server does not accept. The caller has checked the types."""
    if not is_event_type(event_type):
        refuse("eventType", "An event type is 1 to 256 characters of a-z, A-Z, 0-9, '-', '_' and '.'.")
    if event_id is not None and not is_uid(event_id, MESSAGE_PREFIX):
        refuse(
            "eventId",
            "An eventId is 1 to 256 of a-z, A-Z, 0-9, '-', '_' and '.', and does not begin with msg_.",
        )
    if channels is not None:
        if not 1 <= len(channels) <= MAX_CHANNELS:
            refuse("channels", f"Between 1 and {MAX_CHANNELS} channels.")
        elif not all(map(is_channel, channels)):
            refuse("channels", "A channel is 1 to 128 characters of a-z, A-Z, 0-9 and '-_.:+'.")
    if tags is not None:
        if len(tags) > MAX_TAGS:
            refuse("tags", f"At most {MAX_TAGS} tags.")
        elif not all(map(is_tag, tags)):
            refuse("tags", "A tag is 1 to 128 characters of a-z, A-Z, 0-9 and '-_./\\#'.")


def check_text(body: bytes) -> None:
    """Raise ValueError for text that is not UTF-8, or that contains an unpaired surrogate.

    An unpaired surrogate is not a character, and some receivers' JSON parsers fail on it. NUL is allowed:
    payloads are stored as bytes.
    """
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise ValueError("The body is not UTF-8.") from error
    if json_bounds.has_half_pair(body):
        raise ValueError("Text must not contain unpaired surrogates.")


def check_payload(payload: bytes) -> None:
    """Raise ValueError unless the server accepts this as a payload: the JSON text of an object."""
    check_text(payload)
    json_bounds.check(payload)
    try:
        # numbers stay text: the server does not read them, so their size does not matter
        value = json.loads(payload.decode(), parse_int=str, parse_float=str, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("The payload is nested too deeply.") from error
    if not isinstance(value, dict):
        raise ValueError("Payload must be an object.")
    if _depth(value) > MAX_DEPTH:
        raise ValueError(f"The payload is nested too deeply; {MAX_DEPTH} levels are allowed.")


def encode(value: Any) -> bytes:
    """Compact JSON in UTF-8. Raises ValueError if the value has no JSON form."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except TypeError as error:
        raise ValueError(f"This cannot be written as JSON: {error}") from error
    except RecursionError as error:
        raise ValueError("The value is nested too deeply.") from error


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level := [one for one in level if isinstance(one, dict | list)]:
        depth += 1
        level = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one)]
    return depth


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON.")
