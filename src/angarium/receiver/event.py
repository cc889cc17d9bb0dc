"""What a verified request says, whatever its sender calls things."""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, NoReturn, TypeVar

from angarium.receiver.errors import BadFormat

T = TypeVar("T")
MAX_NAME = 255
"""Characters of an id and of a type: what a column of a database takes."""


@dataclass(frozen=True, slots=True)
class Event(Generic[T]):
    """One event. Its payload is not part of its printed form, so that it does not get into logs."""

    id: str
    """The same for every attempt and resend. Where the sender gives none, the hash of the body."""
    type: str
    """Empty if the sender does not say."""
    timestamp: datetime | None
    """When it happened, as the body says, in UTC."""
    data: T = field(repr=False)
    """What the envelope carries under `data`; the whole body where there is no envelope."""
    raw: bytes = field(repr=False)
    """The bytes that were signed."""
    body: Any = field(repr=False, default=None)
    """The whole body, parsed."""
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
    json: bool = True  # False: a body that is not JSON is data, as bytes


@dataclass(frozen=True, slots=True)
class Proof:
    """What a scheme found in the headers."""

    id: str | None = None
    type: str | None = None
    sent_at: float | None = None  # epoch seconds


def read(raw: bytes, shape: Shape, proof: Proof) -> Event[Any]:
    """The event in a body whose signature fits."""
    body = parse(raw, shape)
    return Event(
        id=_name("id", proof.id or _string(body, shape.id) or f"sha256:{hashlib.sha256(raw).hexdigest()}"),
        type=_name("type", proof.type or _string(body, shape.type) or ""),
        timestamp=_first_time(body, shape.timestamp),
        data=_data(body, shape),
        raw=raw,
        body=body,
        sent_at=None if proof.sent_at is None else moment(proof.sent_at),
    )


def load(item: dict[str, str | None], shape: Shape) -> Event[Any]:
    """The event that was dumped."""
    raw = b64decode(item["raw"] or "")
    body = parse(raw, shape)
    return Event(
        id=item["id"] or "",
        type=item["type"] or "",
        timestamp=moment(item["timestamp"]),
        data=_data(body, shape),
        raw=raw,
        body=body,
        sent_at=moment(item["sent_at"]),
    )


def parse(raw: bytes, shape: Shape) -> Any:
    try:
        return json.loads(raw.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        if not shape.json:
            return raw
        raise BadFormat("the body is not JSON") from error


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _data(body: Any, shape: Shape) -> Any:
    enveloped = shape.data is not None and _string(body, shape.type) is not None and shape.data in body
    return body[shape.data] if enveloped else body


def _string(body: Any, names: tuple[str, ...]) -> str | None:
    values = (body.get(name) for name in names) if isinstance(body, dict) else ()
    return next((value for value in values if isinstance(value, str) and value), None)


def _name(what: str, value: str) -> str:
    if len(value) > MAX_NAME or not value.isprintable():
        raise BadFormat(f"the {what} of the event is not printable text of at most {MAX_NAME} characters")
    return value


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
