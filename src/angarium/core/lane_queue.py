"""Holds the deliveries of a lane in memory: waiting, in flight, or answered but not completed.

A delivery is held at most once. Waiting deliveries are kept in sending order: tests and manual attempts
first, or only in the order of acceptance if the lane is first-in-first-out.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from angarium.core.nouns import State
from angarium.core.read_position import LAST

NEVER: Final = float("inf")
FRAME: Final = 500  # bytes of memory for a delivery without its payload


class QueuedDelivery(msgspec.Struct, frozen=True, gc=False):
    """A delivery in memory. `manual_at` identifies the manual request that it serves, if any."""

    message_id: UUID
    due_at: float
    state: State
    failures: int
    manual_at: datetime | None
    payload: bytes | None
    event_type: str = ""
    attempts: int = 0  # made so far
    test: bool = False  # a test of the endpoint, which does not affect its health
    content_type: str | None = None  # None: application/json
    pending: bool = False  # never attempted
    expires_at: float = NEVER  # when the payload expires; it is not sent after that
    seq: int = 0  # position in the order of acceptance; 0: before all others, or none
    trace: bytes | None = None  # the span of the message's acceptance, if it is sampled

    @property
    def comes_first(self) -> bool:
        """Whether it is a test or a manual attempt."""
        return self.manual_at is not None or self.test


class LaneQueue:
    """See the module's docstring."""

    __slots__ = ("_asked_again", "_busy", "_first", "_places", "_waiting", "fifo", "size")

    def __init__(self, *, fifo: bool) -> None:
        self.fifo = fifo
        self.size = 0  # bytes of memory of the waiting deliveries
        self._waiting: deque[QueuedDelivery] = deque()
        self._first: deque[QueuedDelivery] = deque()  # tests and manual attempts, sent before those
        self._busy: dict[
            UUID, datetime | None
        ] = {}  # all deliveries, with the manual request that each serves
        self._asked_again: set[UUID] = set()  # those with a newer manual request in the database
        # those that a load may return again: their positions, or LAST if attempted before
        self._places: dict[UUID, int] = {}

    def __contains__(self, message_id: UUID) -> bool:
        return message_id in self._busy

    def __bool__(self) -> bool:
        """Whether there is any delivery, waiting or not."""
        return bool(self._busy)

    @property
    def waiting(self) -> int:
        """Number of waiting deliveries."""
        return len(self._first) + len(self._waiting)

    @property
    def next(self) -> QueuedDelivery | None:
        """The next to be sent."""
        if self._first:
            return self._first[0]
        return self._waiting[0] if self._waiting else None

    @property
    def urgent(self) -> bool:
        """Whether the next to be sent is a test or a manual attempt that overtakes others."""
        return bool(self._first)

    @property
    def last_due_at(self) -> float:
        """When the last waiting scheduled delivery is due; 0.0: there is none."""
        return self._waiting[-1].due_at if self._waiting else 0.0

    def repeated(self, after: int) -> int:
        """How many deliveries a load after that position returns again. (A free lane that goes back for late
        commits gets some more, and asks again.)"""
        return sum(place > after for place in self._places.values())

    @property
    def manual(self) -> int:
        """Number of manual attempts."""
        return sum(manual_at is not None for manual_at in self._busy.values())

    def take(self, queued: QueuedDelivery) -> None:
        """Add a delivery that is not held yet. It waits."""
        if self.fifo or not queued.comes_first:
            self._waiting.append(queued)
        elif queued.test:
            self._first.appendleft(queued)
        else:
            self._first.append(queued)
        self._busy[queued.message_id] = queued.manual_at
        if self.fifo or not queued.pending:
            self._places[queued.message_id] = queued.seq if queued.pending else LAST
        self.size += _size(queued)

    def send(self) -> QueuedDelivery:
        """Remove and return the next waiting delivery. It is still held."""
        queued = (self._first or self._waiting).popleft()
        self.size -= _size(queued)
        return queued

    def put_back(self, queued: QueuedDelivery, *, last: bool) -> None:
        """A sent delivery waits again, as the first or the last."""
        waiting = self._first if queued.comes_first else self._waiting
        (waiting.append if last else waiting.appendleft)(queued)
        self.size += _size(queued)

    def seen(self, queued: QueuedDelivery) -> bool:
        """The database returned a delivery that is held, perhaps with a newer manual request. Returns
        whether it was requeued: it waited for its scheduled attempt, and now waits for the manual one."""
        if queued.manual_at == self._busy[queued.message_id]:
            return False
        for index, one in enumerate(() if self.fifo else self._waiting):
            if one.message_id == queued.message_id:
                del self._waiting[index]
                self.size -= _size(one)
                self.take(queued)
                return True
        self._asked_again.add(queued.message_id)
        return False

    def asked_again(self, message_id: UUID) -> bool:
        """Whether the database has a newer manual request for it."""
        return message_id in self._asked_again

    def sort(self) -> None:
        """Sort by due time, after a delivery was added out of order."""
        self._waiting = deque(sorted(self._waiting, key=_due_at))

    def shift(self, by: float) -> None:
        """The clock was set by `by` seconds."""
        for waiting in (self._first, self._waiting):
            for _ in range(len(waiting)):
                queued = waiting.popleft()
                waiting.append(msgspec.structs.replace(queued, due_at=queued.due_at + by))

    def let_go(self, message_id: UUID) -> None:
        """Stop holding a delivery that does not wait."""
        self._busy.pop(message_id, None)
        self._asked_again.discard(message_id)
        self._places.pop(message_id, None)

    def drop(self, message_id: UUID) -> bool:
        """Drop a waiting delivery. Returns whether there was one."""
        for waiting in (self._first, self._waiting):
            for index, queued in enumerate(waiting):
                if queued.message_id == message_id:
                    del waiting[index]
                    self.let_go(message_id)
                    self.size -= _size(queued)
                    return True
        return False

    def drop_last(self) -> QueuedDelivery:
        """Drop and return the last waiting delivery. It stays in the database."""
        queued = (self._waiting or self._first).pop()
        self.let_go(queued.message_id)
        self.size -= _size(queued)
        return queued

    def drop_waiting(self) -> list[QueuedDelivery]:
        """Drop and return all waiting deliveries. They stay in the database."""
        dropped = [*self._first, *self._waiting]
        for queued in dropped:
            self.let_go(queued.message_id)
        self._first.clear()
        self._waiting.clear()
        self.size = 0
        return dropped


def _due_at(queued: QueuedDelivery) -> float:
    return queued.due_at


def _size(queued: QueuedDelivery) -> int:
    return FRAME + len(queued.payload or b"")
