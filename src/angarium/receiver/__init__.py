"""Receives webhooks: verifies them, handles each one once, and calls the handler of its event type.

    from angarium.receiver import Receiver, verify

Needs the standard library only. Stores, inboxes and queues that use another library import it when they are
used. Web frameworks have adapters in `angarium.receiver.adapter`, Django in `angarium.receiver.django`.
"""

from __future__ import annotations

from angarium.receiver.backend import Claim, Inbox, Item, Key, Queue, Store, Taken
from angarium.receiver.backend.memory import MemoryStore
from angarium.receiver.backend.queue import (
    ArqQueue,
    CeleryQueue,
    DramatiqQueue,
    HueyQueue,
    ProcrastinateQueue,
    RqQueue,
    TaskiqQueue,
)
from angarium.receiver.backend.redis import RedisStore
from angarium.receiver.backend.sql import (
    DbApiInbox,
    DbApiStore,
    SqlAlchemyInbox,
    SqlAlchemyStore,
    SqliteInbox,
    SqliteStore,
)
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
from angarium.receiver.outcome import Answer
from angarium.receiver.receiver import Receiver
from angarium.receiver.scheme import SCHEMES, Custom, Scheme
from angarium.receiver.verify import verify
from angarium.receiver.worker import Worker

__all__ = [
    "SCHEMES",
    "Answer",
    "ArqQueue",
    "BadFormat",
    "BadPayload",
    "BadSecret",
    "BodyNotBytes",
    "CeleryQueue",
    "Claim",
    "Custom",
    "DbApiInbox",
    "DbApiStore",
    "DramatiqQueue",
    "Event",
    "Expired",
    "HueyQueue",
    "Inbox",
    "Item",
    "Key",
    "LeaseHeld",
    "MemoryStore",
    "MissingHeader",
    "MissingLibrary",
    "Misuse",
    "NoMatch",
    "ProcrastinateQueue",
    "Queue",
    "Receiver",
    "RedisStore",
    "RetryLater",
    "RqQueue",
    "Scheme",
    "Shape",
    "SqlAlchemyInbox",
    "SqlAlchemyStore",
    "SqliteInbox",
    "SqliteStore",
    "Store",
    "Taken",
    "TaskiqQueue",
    "TooLarge",
    "UnknownScheme",
    "VerificationError",
    "Worker",
    "verify",
]
