"""Receiving webhooks: verified, handled once, routed. Standard library only.

    from angarium.receiver import Receiver, verify

Stores, inboxes, queues and web frameworks that are not the standard library's are modules of their own, which
import their library: `angarium.receiver.store.redis`, `.inbox.sqlalchemy`, `.queue.celery`, `.adapter.flask`.
"""

from __future__ import annotations

from angarium.receiver.answer import Answer
from angarium.receiver.errors import (
    BadFormat,
    BadPayload,
    BadSecret,
    BodyNotBytes,
    Expired,
    LeaseHeld,
    MissingHeader,
    MissingLibrary,
    Misuse,
    NoMatch,
    RetryLater,
    TooLarge,
    UnknownScheme,
    VerificationError,
)
from angarium.receiver.event import Event, Shape
from angarium.receiver.inbox import Inbox, SqliteInbox
from angarium.receiver.queue import Queue
from angarium.receiver.receiver import Receiver
from angarium.receiver.scheme import SCHEMES, Custom, Scheme
from angarium.receiver.store import Claim, Key, MemoryStore, SqliteStore, Store
from angarium.receiver.verify import verify
from angarium.receiver.worker import Worker

__all__ = [
    "SCHEMES",
    "Answer",
    "BadFormat",
    "BadPayload",
    "BadSecret",
    "BodyNotBytes",
    "Claim",
    "Custom",
    "Event",
    "Expired",
    "Inbox",
    "Key",
    "LeaseHeld",
    "MemoryStore",
    "MissingHeader",
    "MissingLibrary",
    "Misuse",
    "NoMatch",
    "Queue",
    "Receiver",
    "RetryLater",
    "Scheme",
    "Shape",
    "SqliteInbox",
    "SqliteStore",
    "Store",
    "TooLarge",
    "UnknownScheme",
    "VerificationError",
    "Worker",
    "verify",
]
