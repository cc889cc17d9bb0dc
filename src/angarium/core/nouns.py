"""Domain objects as frozen values. Times are aware UTC datetimes unless noted otherwise."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any, Final
from uuid import UUID

import msgspec

from angarium.core.errors import Invalid

MAX_NAME: Final = 256  # characters: lists and pages show many names and descriptions
MAX_TEXT: Final = 10_000


class State(IntEnum):
    """State of a delivery. The numbers are Svix's message statuses and stored in the database."""

    DELIVERED = 0
    PENDING = 1
    EXHAUSTED = 2
    CANCELED = 4


class AttemptStatus(IntEnum):
    """Result of an attempt."""

    SUCCESS = 0
    FAIL = 2


class DisabledReason(StrEnum):
    """Why an endpoint is disabled."""

    MANUAL = "manual"
    FAILING = "failing"
    GONE = "gone"
    UNHEARD = "unheard"  # a listener that no client connects to


class TaskError(StrEnum):
    """Why a background task failed. Its texts: `core/error_text.py`, and `task.error` in the portal's."""

    ENDPOINT_DELETED = "endpoint_deleted"
    INTERNAL = "internal"  # a fault on our side


@dataclass(frozen=True, slots=True)
class Application:
    id: UUID
    org_id: str
    uid: str | None
    name: str
    rate_limit: int | None  # deliveries a second, for endpoints without their own
    metadata: dict[str, str]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class EventType:
    org_id: str
    name: str
    description: str
    schemas: dict[str, Any] | None  # version -> JSON Schema
    archived: bool
    deprecated: bool
    feature_flags: tuple[str, ...]
    group_name: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One secret of an endpoint, in its text form (`whsec_…` or `whsk_…`).

    `expires_at` (epoch seconds) is None for the current key; an old key signs until it expires. A key whose
    `active_at` is in the future signs already, but only next to another key, never alone.
    """

    secret: str = field(repr=False)
    expires_at: float | None = None
    active_at: float | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    id: UUID
    app_id: UUID
    org_id: str
    url: str
    shard: int
    created_at: datetime
    updated_at: datetime
    uid: str | None = None
    description: str = ""
    version: int = 1
    rate_limit: int | None = None  # deliveries a second; None: the application's
    event_types: tuple[str, ...] | None = None  # exact names and wildcards; None: every type
    channels: tuple[str, ...] | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict, repr=False)  # of each request; may be credentials
    keys: tuple[SigningKey, ...] = field(default=(), repr=False)  # current first
    fifo: bool = False  # first-in-first-out order
    disabled_at: datetime | None = None
    disabled_reason: str | None = None
    revision: int = 1  # incremented by every change that affects sending
    deleted: bool = False
    name: str | None = None  # display name, if the product's API has one
    login: str | None = field(default=None, repr=False)  # login removed from the URL


class Message(msgspec.Struct, frozen=True, gc=False):
    id: UUID
    app_id: UUID
    event_id: str | None  # the operator's own id, unique in the application
    event_type: str
    payload: bytes | None  # the exact bytes sent; None once expired or expunged
    channels: tuple[str, ...]
    tags: tuple[str, ...]
    expires_at: datetime  # when the payload expires
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    app_id: UUID
    endpoint_id: UUID
    message_id: UUID
    state: State
    failures: int  # failed scheduled attempts: the index into the schedule
    due_at: datetime | None  # when the next attempt is due
    manual_at: datetime | None  # when a manual attempt was requested that is still pending
    status_code: int | None = None  # of the last attempt; 0: no HTTP answer, None: not attempted yet
    error_code: str | None = None  # of the last attempt


@dataclass(frozen=True, slots=True)
class Exchange:
    """The headers of one attempt. Values of the endpoint's own headers, and cookies, are masked."""

    sent: tuple[tuple[str, str], ...]
    received: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Attempt:
    id: UUID
    app_id: UUID
    message_id: UUID
    endpoint_id: UUID
    number: int  # of all attempts of the delivery, from 1
    manual: bool
    status: AttemptStatus
    status_code: int  # 0: no HTTP answer
    error_code: str | None  # stable code of the failure kind, see core/failure.py
    error: str | None  # message for people
    response: bytes | None  # first bytes of the answer's body
    duration_ms: int
    next_at: datetime | None  # when the next attempt was due, as this one ended
    url: str
    created_at: datetime
    exchange: Exchange | None = None  # None: not requested, or written by a later release


def check_text(field: str, text: str, most: int, before: str | None = None) -> None:
    """Raises Invalid for a text of more than `most` characters, unless it is unchanged from `before`."""
    if len(text) > most and text != before:
        raise Invalid.field(field, f"Must be at most {most:,} characters long.")
