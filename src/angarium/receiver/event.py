"""What a verified request says, whatever its sender calls things.

A body whose signature fits is never refused for what is in it: the sender would send it again, with the same
bytes, until it gives up. JSON is read in any of its Unicode encodings, with or without a byte order mark.
What is not JSON is data as bytes.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Generic, TypeVar

T = TypeVar("T")
MAX_NAME = 255
"""Characters of an id and of a type: what a column of a database takes."""


@dataclass(frozen=True, slots=True)
class Event(Generic[T]):
    """One event. Its payload is not part of its printed form, so that it does not get into logs."""

    id: str
    """The same for every attempt and resend. Where the sender gives none, the hash of the body; where it is
    longer than MAX_NAME or not printable, its own hash."""
    type: str
    """Empty if the sender does not say, and for a type longer than MAX_NAME or not printable."""
    timestamp: datetime | None
    """When it happened, as the body says, in UTC."""
    data: T = field(repr=False)
    """What the envelope carries under `data`; the whole body where there is no envelope; bytes where the body
    is not JSON."""
    raw: bytes = field(repr=False)
    """The bytes that were signed."""
    body: Any = field(repr=False, default=None)
    """The whole body, parsed; bytes where it is not JSON."""
    sent_at: datetime | None = None
    """When this attempt was made, as was signed."""

    def dump(self) -> dict[str, str | None]:
        """For a queue or a table: plain text, without what can be read from `raw` again."""
        return {
            "id": self.id,
            "type": self.type,
            "timestamp": _written(self.timestamp),
            "sent_at": _written(self.sent_at),
            "raw": b64encode(self.raw).decode("ascii"),
        }


@dataclass(frozen=True, slots=True)
class Shape:
    """Where a sender's bodies hold things. The first name that is there counts."""

    id: tuple[str, ...] = ("id",)
    type: tuple[str, ...] = ("type", "event", "event_type", "eventType")
    timestamp: tuple[str, ...] = ("timestamp", "created_at", "createdAt", "created")
    data: str | None = "data"  # None: the whole body


@dataclass(frozen=True, slots=True)
class Proof:
    """What a scheme found in the headers."""

    id: str | None = None
    type: str | None = None
    sent_at: float | None = None  # epoch seconds


def read(raw: bytes, shape: Shape, proof: Proof) -> Event[Any]:
    """The event in a body whose signature fits."""
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
    """The event that was dumped."""
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
    """The JSON value of a body; the bytes themselves where it is none."""
    try:
        return json.loads(raw.decode(json.detect_encoding(raw)), parse_int=_integer)
    except (ValueError, RecursionError):
        return raw


def _integer(text: str) -> int | Decimal:
    """Python refuses integers of thousands of digits; the event is not to be lost for one."""
    try:
        return int(text)
    except ValueError:
        return Decimal(text)


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
