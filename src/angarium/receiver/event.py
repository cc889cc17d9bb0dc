"""Reads the event in a verified request, whatever names its sender uses.

A body with a valid signature is never refused for its content: the sender would retry with the same bytes.
JSON may be in any Unicode encoding, with or without a byte order mark. Other bodies are data as bytes.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from angarium import json_text

T = TypeVar("T")
MAX_NAME = 255
"""Characters of an id or type that database columns can hold."""


@dataclass(frozen=True, slots=True)
class Event(Generic[T]):
    """One event. Its `repr` does not contain the payload, so that it does not get into logs."""

    id: str
    """The same for every attempt and resend. If the sender gives none, it is the hash of the body. If it is
    longer than MAX_NAME or not printable, it is replaced by its hash."""
    type: str
    """Empty if the sender gives none, or if it is longer than MAX_NAME or not printable."""
    timestamp: datetime | None
    """When it happened according to the body, in UTC."""
    data: T = field(repr=False)
    """The value of `data` in the body, or the whole body if it has no such envelope; bytes if it is not
    JSON."""
    raw: bytes = field(repr=False)
    """The signed bytes."""
    body: Any = field(repr=False, default=None)
    """The whole body, parsed; bytes if it is not JSON."""
    sent_at: datetime | None = None
    """When this attempt was made, if that is signed."""

    def dump(self) -> dict[str, str | None]:
        """The event as plain text, for a queue or a table. `load` reads the rest from `raw`."""
        return {
            "id": self.id,
            "type": self.type,
            "timestamp": _written(self.timestamp),
            "sent_at": _written(self.sent_at),
            "raw": b64encode(self.raw).decode("ascii"),
        }


@dataclass(frozen=True, slots=True)
class Shape:
    """The names of fields in a sender's bodies. The first one that exists is used."""

    id: tuple[str, ...] = ("id",)
    type: tuple[str, ...] = ("type", "event", "event_type", "eventType")
    timestamp: tuple[str, ...] = ("timestamp", "created_at", "createdAt", "created")
    data: str | None = "data"  # None: the whole body


@dataclass(frozen=True, slots=True)
class Proof:
    """What a scheme reads from verified headers."""

    id: str | None = None
    type: str | None = None
    sent_at: float | None = None  # epoch seconds


def read(raw: bytes, shape: Shape, proof: Proof) -> Event[Any]:
    """The event in a body with a valid signature."""
    body = parse(raw)
    event_id = proof.id or _string(body, shape.id)
    event_type = proof.type or _string(body, shape.type) or ""
    return Event(
        id=event_id if event_id and _fits(event_id) else _hash(event_id or raw),
        type=event_type if _fits(event_type) else "",
        timestamp=_first_time(body, shape.timestamp),
        data=_data(body, shape),
        raw=raw,
        body=body,
        sent_at=moment(proof.sent_at),
    )


def load(item: dict[str, str | None], shape: Shape) -> Event[Any]:
    """The event that `Event.dump` returned."""
    raw = b64decode(item["raw"] or "")
    body = parse(raw)
    return Event(
        id=item["id"] or "",
        type=item["type"] or "",
        timestamp=moment(item["timestamp"]),
        data=_data(body, shape),
        raw=raw,
        body=body,
        sent_at=moment(item["sent_at"]),
    )


def parse(raw: bytes) -> Any:
    """The JSON value of a body, or the bytes if it is not JSON."""
    try:
        return json.loads(raw.decode(json.detect_encoding(raw)), parse_int=json_text.integer)
    except (ValueError, RecursionError):
        return raw


def _data(body: Any, shape: Shape) -> Any:
    enveloped = shape.data is not None and _string(body, shape.type) is not None and shape.data in body
    return body[shape.data] if enveloped else body


def _string(body: Any, names: tuple[str, ...]) -> str | None:
    values = (body.get(name) for name in names) if isinstance(body, dict) else ()
    return next((value for value in values if isinstance(value, str) and value), None)


def _fits(name: str) -> bool:
    return len(name) <= MAX_NAME and name.isprintable()


def _hash(value: str | bytes) -> str:
    raw = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def _first_time(body: Any, names: tuple[str, ...]) -> datetime | None:
    times = (moment(body.get(name)) for name in names) if isinstance(body, dict) else ()
    return next((time for time in times if time is not None), None)


def _written(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()


def moment(value: object) -> datetime | None:
    """A point in time from ISO 8601, or from epoch seconds or milliseconds."""
    try:
        if isinstance(value, str):
            parsed = datetime.fromisoformat(value)
            return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1000 if abs(value) >= 1e11 else value, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None
