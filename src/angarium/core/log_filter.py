"""Filter over the deliveries in the log of an application.

A background task that resends what a filter matches stores the filter as JSON. SQL
(`store/queries/log.sql`) decides by the same fields whether a delivery matches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from angarium.core import ids, patterns, timestamp
from angarium.core.errors import FieldError, Invalid
from angarium.core.nouns import State

HTTP_CLASSES: Final = range(6)  # first digit of the last status; 0: no HTTP answer
_TEXT_LIMIT: Final = 128
_ID_LIMIT: Final = 256  # of an operator's own id


class LogStatus(StrEnum):
    """How a delivery looks in the log."""

    DELIVERED = "delivered"
    WAITING = "waiting"  # not attempted yet
    RETRYING = "retrying"  # failed, and will be retried
    FAILED = "failed"  # given up
    CANCELED = "canceled"


UNDELIVERED: Final = frozenset({LogStatus.FAILED, LogStatus.CANCELED})
FAILING: Final = UNDELIVERED | {LogStatus.RETRYING}


def log_status(state: State, failures: int) -> LogStatus:
    """The status of a delivery in this state with this number of failed scheduled attempts."""
    match state:
        case State.DELIVERED:
            return LogStatus.DELIVERED
        case State.PENDING:
            return LogStatus.RETRYING if failures else LogStatus.WAITING
        case State.EXHAUSTED:
            return LogStatus.FAILED
        case State.CANCELED:
            return LogStatus.CANCELED


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which deliveries to list. An empty or None field matches any."""

    statuses: frozenset[LogStatus] = frozenset()
    event_type: str | None = None  # a name, or a wildcard such as `order.*`
    endpoint_id: UUID | None = None
    http_class: int | None = None  # of the last attempt, see HTTP_CLASSES
    error_kind: str | None = None  # of the last attempt: a code, or a family of them (`tls`, `http`)
    message: str | None = None  # exactly this message, by its id or the operator's
    tag: str | None = None
    channel: str | None = None
    since: datetime | None = None  # times of the message, inclusive
    until: datetime | None = None

    @property
    def failing(self) -> bool:
        """Whether only deliveries with a problem can match: undelivered, retried, or failed last time."""
        failed_answer = self.http_class is not None and self.http_class != 2
        return (
            failed_answer or self.error_kind is not None or (bool(self.statuses) and self.statuses <= FAILING)
        )

    @property
    def empty(self) -> bool:
        return self == LogFilter()

    def check(self) -> None:
        """Raises Invalid for a filter that cannot match anything, with a message for each field."""
        faults = [
            FieldError(("query", name), msg)
            for name, wrong, msg in (
                (
                    "event_type",
                    self.event_type is not None
                    and not patterns.is_event_type(self.event_type)
                    and not patterns.is_wildcard(self.event_type),
                    "Must be an event type, or a wildcard such as order.*",
                ),
                (
                    "http_class",
                    self.http_class is not None and self.http_class not in HTTP_CLASSES,
                    "Must be 1 to 5 for 1xx to 5xx, or 0 for no response.",
                ),
                ("error_kind", _unfit(self.error_kind), "Not a valid error kind."),
                (
                    "message",
                    self.message is not None and len(self.message) > _ID_LIMIT,
                    "Not a valid message id.",
                ),
                ("tag", self.tag is not None and not patterns.is_tag(self.tag), "Not a valid tag."),
                (
                    "channel",
                    self.channel is not None and not patterns.is_channel(self.channel),
                    "Not a valid channel.",
                ),
                (
                    "until",
                    self.since is not None and self.until is not None and self.until < self.since,
                    "The end must not be before the start.",
                ),
            )
            if wrong
        ]
        if faults:
            raise Invalid(*faults)

    def document(self) -> dict[str, Any]:
        """As JSON, without unset fields."""
        values: dict[str, Any] = {
            "statuses": sorted(self.statuses) or None,
            "event_type": self.event_type,
            "endpoint": None if self.endpoint_id is None else str(self.endpoint_id),
            "http_class": self.http_class,
            "error_kind": self.error_kind,
            "message": self.message,
            "tag": self.tag,
            "channel": self.channel,
            "since": None if self.since is None else self.since.isoformat(),
            "until": None if self.until is None else self.until.isoformat(),
        }
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> LogFilter:
        """The filter of a document. Raises KeyError or ValueError for an invalid one."""
        endpoint, since, until = (document.get(name) for name in ("endpoint", "since", "until"))
        return cls(
            statuses=frozenset(LogStatus(status) for status in document.get("statuses", ())),
            event_type=document.get("event_type"),
            endpoint_id=None if endpoint is None else UUID(endpoint),
            http_class=document.get("http_class"),
            error_kind=document.get("error_kind"),
            message=document.get("message"),
            tag=document.get("tag"),
            channel=document.get("channel"),
            since=None if since is None else timestamp.parse(since),
            until=None if until is None else timestamp.parse(until),
        )


@dataclass(frozen=True, slots=True, order=True)
class LogKey:
    """The position of a delivery in the log of its application: by message, then by endpoint."""

    message_id: UUID
    endpoint_id: UUID

    def text(self) -> str:
        """For a URL: `msg_….ep_…`."""
        return f"{ids.text(ids.MESSAGE, self.message_id)}.{ids.text(ids.ENDPOINT, self.endpoint_id)}"

    @classmethod
    def parse(cls, text: str) -> LogKey:
        """Raises Invalid for any other text."""
        message, _, endpoint = text.partition(".")
        message_id, endpoint_id = ids.parse(ids.MESSAGE, message), ids.parse(ids.ENDPOINT, endpoint)
        if message_id is None or endpoint_id is None:
            raise Invalid.field("cursor", "Not a valid position in the log.", where="query")
        return cls(message_id, endpoint_id)


def _unfit(text: str | None) -> bool:
    return text is not None and (len(text) > _TEXT_LIMIT or not text.replace("_", "").isalnum())
