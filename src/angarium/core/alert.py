"""Values of alerts to people, and the rule that gathers them. Pure; times are epoch seconds.

A notice says that something happened at an endpoint. Notices wait for each recipient, one for each endpoint
and kind, with a count. A digest has all notices of a recipient.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

OPERATIONS: Final = "org_operations"
"""The organization of the operator, whose applications get operational webhooks."""
GATHER: Final = 60.0
"""Seconds from the first notice to the first digest: many endpoints of one server fail at almost once."""
WINDOWS: Final = (600.0, 3600.0)
"""Seconds between a digest and the next, after the first one and after all others."""
QUIET: Final = 3600.0
"""Seconds without a notice, counted from the end of a window, after which a notice is a first one again."""
FAILING_FOR: Final = 900.0
"""Seconds since the first failure, without a success, after which an endpoint is reported as failing."""
SHOWN: Final = 10
"""Endpoints of each kind that a digest names. The others are counted."""


class AlertKind(StrEnum):
    """What an alert is about."""

    DISABLED = "endpoint.disabled"
    FAILING = "endpoint.failing"
    EXHAUSTED = "message.exhausted"
    QUOTA_SOFT = "quota.soft"
    QUOTA_HARD = "quota.hard"


ALL_KINDS: Final = tuple(AlertKind)


class Recipient:
    """The ids of recipients that are not contacts: the operator's channels."""

    MAIL: Final = UUID(int=1)
    WEBHOOK: Final = UUID(int=2)


OPERATORS: Final = (Recipient.MAIL, Recipient.WEBHOOK)


@dataclass(frozen=True, slots=True)
class Audience:
    """Who gets alerts. Without a recipient, no notice is written.

    `operator`: ids of the operator's channels. `contacts`: whether contacts of applications get mail.
    """

    operator: tuple[UUID, ...] = ()
    contacts: bool = False

    def __bool__(self) -> bool:
        return bool(self.operator) or self.contacts


NOBODY: Final = Audience()


class Notice(msgspec.Struct, frozen=True, gc=False):
    """What happened at an endpoint, `count` times. `code`: of the failure kind, or why it was disabled.

    A notice of a limit is about the application: `endpoint_id` is the application's id, and `code` says what
    is limited, `messages` or `endpoints`.
    """

    app_id: UUID
    endpoint_id: UUID
    kind: AlertKind
    count: int
    code: str | None


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One line of a digest. `name`: of the endpoint, or its host if it has none."""

    org_id: str
    app_id: UUID
    application: str
    endpoint_id: UUID
    name: str
    kind: AlertKind
    count: int
    first_at: float
    last_at: float
    code: str | None


class Sum(msgspec.Struct, frozen=True, gc=False):
    """How many endpoints had notices of a kind, and how many notices."""

    endpoints: int
    count: int


class Digest(msgspec.Struct, frozen=True, gc=False):
    """The content of an alert: at most SHOWN entries of each kind, and the sums of all."""

    entries: list[Entry]
    sums: dict[AlertKind, Sum]


class DigestWindow(NamedTuple):
    """When a recipient may get the next digest.

    `level`: the digests since the first notice; 0: notices are gathered for the first one.
    """

    level: int
    next_at: float


def opened(window: DigestWindow | None, now: float) -> DigestWindow | None:
    """The window that a notice starts; None if the recipient is in one."""
    if window is None or (window.level > 0 and now - window.next_at >= QUIET):
        return DigestWindow(0, now + GATHER)
    return None


def sent(window: DigestWindow, now: float) -> DigestWindow:
    """The window after a digest."""
    return DigestWindow(window.level + 1, now + WINDOWS[min(window.level, len(WINDOWS) - 1)])
