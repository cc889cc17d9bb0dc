"""Defines field types that several bodies share: their rules, descriptions and examples.

`says` describes a field of a request (pydantic) and of a response (msgspec) alike. The OpenAPI document takes
the description and the example of a property from it.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
from pydantic import AfterValidator, BeforeValidator, Field, Strict, StringConstraints

from angarium.core import ids, timestamp
from angarium.core.nouns import MAX_NAME, MAX_TEXT
from angarium.core.patterns import is_channel, is_event_type, is_uid, is_wildcard
from angarium.core.url import MAX_URL

MAX_RATE: Final = 65535
MAX_METADATA: Final = 4096
MAX_CHANNELS: Final = 10
MAX_EVENT_TYPES: Final = 1000

# the things that examples are about
APPLICATION: Final = "app_0ERndamqNyk0XN7mWcgetArcmJ6"
ENDPOINT: Final = "ep_0ERndamqNyjsjj0To5t3wCT6t8K"
MESSAGE: Final = "msg_0ERndamqNykCQEaky8WrYGgT50q"
ATTEMPT: Final = "atmpt_0ERndamqNyjzFvUIGNf3yDeRPjk"
TASK: Final = "qtask_0ERndamqNyk3haXpUQDyjOZPphY"
INBOX: Final = "play_0ERndamqNyk7OsJmZwjWmRVH5zU"
NOW: Final = "2026-11-27T10:55:53.123456Z"
PAYLOAD: Final = {"id": "ord_1", "total": 4200}


def says(words: str, *examples: Any, **schema: Any) -> msgspec.Meta:
    """Describes a field. `schema`: keywords of JSON Schema that are documented and not checked by msgspec.

    Some keywords are for the document only: `x-required` makes a property required that the code can do
    without, `x-rare` leaves it out of the example of the whole object, and `x-hidden` out of the document.
    """
    return msgspec.Meta(description=words, examples=list(examples) or None, extra_json_schema=schema or None)


def schema_ref(name: str) -> str:
    """The address of a schema in the document, for where a type cannot say it."""
    return f"#/components/schemas/{name}"


HIDDEN: Final = msgspec.Meta(extra_json_schema={"x-hidden": True})
RARE: Final = msgspec.Meta(extra_json_schema={"x-rare": True})
OLD: Final = msgspec.Meta(extra_json_schema={"deprecated": True})
"""Marks an older field name, still accepted. (Pydantic's own mark warns us, not callers.)"""

Flag = Annotated[bool, Strict()]


def _moment(value: Any) -> datetime:
    if not isinstance(value, str):
        raise ValueError(f"must be a string with date, time and zone, such as {timestamp.EXAMPLE}")
    return timestamp.parse(value)


Moment = Annotated[datetime, BeforeValidator(_moment)]
"""A time in a body."""
Time = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]
"""A time in a response, made by `wire_time`."""


def wire_time(at: datetime) -> str:
    """RFC 3339 in UTC, to the microsecond."""
    text = msgspec.json.encode(at.astimezone(UTC))[1:-1].decode()  # a tenth of the cost of `isoformat`
    return text if at.microsecond else f"{text[:-1]}.000000Z"


def _uid(prefix: str) -> AfterValidator:
    def check(value: str) -> str:
        if not is_uid(value, prefix):
            raise ValueError(f"must be 1 to 256 of a-z A-Z 0-9 - _ . and must not start with {prefix}")
        return value

    return AfterValidator(check)


def _documented(pattern: str) -> Any:
    """The rule for the OpenAPI document; the validators have the error messages."""
    return Field(json_schema_extra={"pattern": pattern})


def _at_most(characters: int) -> Any:
    """The same for a length. Services check it, and accept a longer text that is unchanged."""
    return Field(json_schema_extra={"maxLength": characters})


def _text(value: str) -> str:
    if any(c <= "\x08" for c in value):
        raise ValueError("must not contain control characters")
    return value


def _metadata(value: dict[str, str]) -> dict[str, str]:
    if len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()) > MAX_METADATA:
        raise ValueError(f"must not be longer than {MAX_METADATA} bytes as JSON")
    return value


def _event_type(value: str) -> str:
    if not is_event_type(value):
        raise ValueError("must be 1 to 256 of a-z A-Z 0-9 - _ .")
    return value


def _pattern(value: str) -> str:
    if not is_event_type(value) and not is_wildcard(value):
        raise ValueError("must be the name of an event type, `prefix.*` or `*`")
    return value


def _channel(value: str) -> str:
    if not is_channel(value):
        raise ValueError("must be 1 to 128 of a-z A-Z 0-9 - _ . : +")
    return value


def _unique(value: Any) -> Any:
    return list(dict.fromkeys(value)) if isinstance(value, list) and _all_text(value) else value


def _all_text(value: list[Any]) -> bool:
    return all(isinstance(item, str) for item in value)


ApplicationId = Annotated[str, says("Id of the application.", APPLICATION)]
EndpointId = Annotated[str, says("Id of the endpoint.", ENDPOINT)]
MessageId = Annotated[str, says("Id of the message, the same in every attempt.", MESSAGE)]
CreatedAt = Annotated[Time, says("When it was created.", NOW)]
UpdatedAt = Annotated[Time, says("When it was last changed.", NOW)]

ApplicationUid = Annotated[
    str,
    _uid(ids.APPLICATION),
    _documented(rf"^(?!{ids.APPLICATION})[a-zA-Z0-9\-_.]{{1,256}}$"),
    says("Your own id of the application. It can be used in place of `id`.", "acme"),
]
EndpointUid = Annotated[
    str,
    _uid(ids.ENDPOINT),
    _documented(rf"^(?!{ids.ENDPOINT})[a-zA-Z0-9\-_.]{{1,256}}$"),
    says("Your own id of the endpoint. It can be used in place of `id`.", "orders"),
]
Name = Annotated[str, StringConstraints(min_length=1), AfterValidator(_text), _at_most(MAX_NAME)]
ApplicationName = Annotated[Name, says("A name to display.", "Acme Inc.")]
Description = Annotated[str, AfterValidator(_text), _at_most(MAX_TEXT)]
Url = Annotated[
    str, _at_most(MAX_URL), says("The URL that messages are sent to.", "https://example.com/webhooks")
]
Metadata = Annotated[
    dict[str, str],
    AfterValidator(_metadata),
    says("Your own keys and values, at most 4 KiB as JSON. They have no effect.", {"plan": "pro"}),
]
Rate = Annotated[
    int,
    Strict(),
    Field(ge=1, le=MAX_RATE),
    says("Deliveries per second to one endpoint. An endpoint without a limit uses its application's.", 50),
]
OldRate = Annotated[Rate, says("The older name of `throttleRate`.", 50), OLD]
EventTypeName = Annotated[
    str,
    AfterValidator(_event_type),
    _documented(r"^[a-zA-Z0-9\-_.]{1,256}$"),
    says("Name of the event type.", "order.filled"),
]
Patterns = Annotated[
    list[Annotated[str, AfterValidator(_pattern), _documented(r"^(\*|[a-zA-Z0-9\-_.]{1,254}(\.\*)?)$")]],
    BeforeValidator(_unique),
    Field(min_length=1, max_length=MAX_EVENT_TYPES),
    says("Event types by name or wildcard (`order.*`, `*`); null selects every type.", ["order.*"]),
]
OldPatterns = Annotated[Patterns, says("The older name of `eventTypes`.", ["order.*"]), OLD]
Channels = Annotated[
    list[Annotated[str, AfterValidator(_channel), _documented(r"^[a-zA-Z0-9\-_.:+]{1,128}$")]],
    BeforeValidator(_unique),
    Field(min_length=1, max_length=MAX_CHANNELS),
    says("Only messages with one of these channels; null selects every message.", ["warehouse"]),
]


def as_tuple(value: list[str] | None) -> tuple[str, ...] | None:
    """None means no filter. An empty list stays empty; the service refuses it."""
    return None if value is None else tuple(value)
