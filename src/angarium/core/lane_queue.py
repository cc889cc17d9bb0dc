"""What a lane has in hand: deliveries that wait in memory, are in flight, or are answered but not completed.

A delivery is in hand once. What waits is in the order in which it is sent: tests and manual attempts first,
or in the order of acceptance alone when the lane is first-in-first-out.
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
FRAME: Final = 500  # bytes that a delivery takes in memory beside its payload


class QueuedDelivery(msgspec.Struct, frozen=True, gc=False):
    """A delivery in hand. `manual_at` identifies the manual request that it serves, if any."""

    message_id: UUID
    due_at: float
    state: State
    failures: int
    manual_at: datetime | None
    payload: bytes | None
    event_type: str = ""
    attempts: int = 0  # made before
    test: bool = False  # sent to try the endpoint: says nothing of its health
    content_type: str | None = None  # None: application/json
    pending: bool = False  # it was never attempted before
    expires_at: float = NEVER  # of the payload, which is not sent after it
    seq: int = 0  # its place in the order of acceptance; 0: before all others, or none

    @property
    def comes_first(self) -> bool:
        """Whether it is a test or a manual attempt."""
        return self.manual_at is not None or self.test


class LaneQueue:
    """See the module's docstring."""

    __slots__ = ("_asked_again", "_busy", "_first", "_places", "_waiting", "fifo", "size")

    def __init__(self, *, fifo: bool) -> None:
        self.fifo = fifo
        self.size = 0  # bytes of memory that what waits takes
        self._waiting: deque[QueuedDelivery] = deque()
        self._first: deque[QueuedDelivery] = deque()  # tests and manual attempts, which are sent before those
        self._busy: dict[UUID, datetime | None] = {}  # all in hand, with the manual request that each serves
        self._asked_again: set[UUID] = set()  # those for which the table has a newer manual request
        # those that a load may bring again: their places, and LAST of what was attempted before
        self._places: dict[UUID, int] = {}

    def __contains__(self, message_id: UUID) -> bool:
        return message_id in self._busy

    def __bool__(self) -> bool:
        """Whether anything is in hand, waiting or not."""
        return bool(self._busy)

    @property
    def waiting(self) -> int:
        """How many wait in memory."""
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
        """When the last of those that wait for their turn is due; 0.0: there is none."""
        return self._waiting[-1].due_at if self._waiting else 0.0

    def repeated(self, after: int) -> int:
        """How many a load brings again that reads from behind that place. (A free lane that goes back to what
        was committed late gets some more, and asks once more.)"""
        return sum(place > after for place in self._places.values())

    @property
    def manual(self) -> int:
        """How many manual attempts are in hand."""
        return sum(manual_at is not None for manual_at in self._busy.values())

    def take(self, queued: QueuedDelivery) -> None:
        """One that is not in hand waits from now on."""
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
        """The next one waits no more."""
        queued = (self._first or self._waiting).popleft()
        self.size -= _size(queued)
        return queued

    def put_back(self, queued: QueuedDelivery, *, last: bool) -> None:
        """One that was sent waits again, as the first or as the last."""
        waiting = self._first if queued.comes_first else self._waiting
        (waiting.append if last else waiting.appendleft)(queued)
        self.size += _size(queued)

    def seen(self, queued: QueuedDelivery) -> bool:
        """The table has one that is in hand, perhaps with a newer manual request. Whether it was taken anew:
        it waited for its scheduled attempt, and waits for the manual one now."""
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
        """Whether the table has a newer manual request for it."""
        return message_id in self._asked_again

    def sort(self) -> None:
        """By due time, after one was taken that comes before others."""
        self._waiting = deque(sorted(self._waiting, key=_due_at))

    def shift(self, by: float) -> None:
        """The clock was set by so many seconds."""
        for waiting in (self._first, self._waiting):
            for _ in range(len(waiting)):
                queued = waiting.popleft()
                waiting.append(msgspec.structs.replace(queued, due_at=queued.due_at + by))

    def let_go(self, message_id: UUID) -> None:
        """One that does not wait is not in hand any more."""
        self._busy.pop(message_id, None)
        self._asked_again.discard(message_id)
        self._places.pop(message_id, None)

    def drop_last(self) -> QueuedDelivery:
        """Leave the last that waits to the table."""
        queued = (self._waiting or self._first).pop()
        self.let_go(queued.message_id)
        self.size -= _size(queued)
        return queued

    def drop_waiting(self) -> list[QueuedDelivery]:
        """Leave all that waits to the table; gives it."""
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
