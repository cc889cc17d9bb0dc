"""Defines field types that several bodies share, their rules, and the format of times."""

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

OLD: Final[dict[str, Any]] = {"deprecated": True}
"""Marks an older field name, still accepted, in the document. (Pydantic's own mark warns us, not callers.)"""

Flag = Annotated[bool, Strict()]
Rate = Annotated[int, Strict(), Field(ge=1, le=MAX_RATE)]


def _moment(value: Any) -> datetime:
    if not isinstance(value, str):
        raise ValueError(f"must be a string with date, time and zone, such as {timestamp.EXAMPLE}")
    return timestamp.parse(value)


Moment = Annotated[datetime, BeforeValidator(_moment)]
"""A time in a body."""


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


ApplicationUid = Annotated[
    str, _uid(ids.APPLICATION), _documented(rf"^(?!{ids.APPLICATION})[a-zA-Z0-9\-_.]{{1,256}}$")
]
EndpointUid = Annotated[
    str, _uid(ids.ENDPOINT), _documented(rf"^(?!{ids.ENDPOINT})[a-zA-Z0-9\-_.]{{1,256}}$")
]


def _text(value: str) -> str:
    if any(c <= "\x08" for c in value):
        raise ValueError("must not contain control characters")
    return value


Name = Annotated[str, StringConstraints(min_length=1), AfterValidator(_text), _at_most(MAX_NAME)]
Description = Annotated[str, AfterValidator(_text), _at_most(MAX_TEXT)]
Url = Annotated[str, _at_most(MAX_URL)]


def _metadata(value: dict[str, str]) -> dict[str, str]:
    if len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()) > MAX_METADATA:
        raise ValueError(f"must not be longer than {MAX_METADATA} bytes as JSON")
    return value


Metadata = Annotated[dict[str, str], AfterValidator(_metadata)]


def _event_type(value: str) -> str:
    if not is_event_type(value):
        raise ValueError("must be 1 to 256 of a-z A-Z 0-9 - _ .")
    return value


EventTypeName = Annotated[str, AfterValidator(_event_type), _documented(r"^[a-zA-Z0-9\-_.]{1,256}$")]


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


Patterns = Annotated[
    list[Annotated[str, AfterValidator(_pattern), _documented(r"^(\*|[a-zA-Z0-9\-_.]{1,254}(\.\*)?)$")]],
    BeforeValidator(_unique),
    Field(min_length=1, max_length=MAX_EVENT_TYPES),
]
Channels = Annotated[
    list[Annotated[str, AfterValidator(_channel), _documented(r"^[a-zA-Z0-9\-_.:+]{1,128}$")]],
    BeforeValidator(_unique),
    Field(min_length=1, max_length=MAX_CHANNELS),
]


def as_tuple(value: list[str] | None) -> tuple[str, ...] | None:
    """None means no filter. An empty list stays empty; the service refuses it."""
    return None if value is None else tuple(value)
