"""Tracks what a lane knows of its deliveries in the database, which is authoritative.

The backlog knows whether more is due than the lane holds (`behind`), when the next is due (`next_due`; in a
first-in-first-out lane, the next that was scheduled for later), and how far the lane has read deliveries that
were never attempted (core/read_position.py). It remembers what happens during a load, because the load's
snapshot may be older.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from angarium.core.lane_queue import NEVER
from angarium.core.read_position import FIRST, SLACK, START, ReadPosition

PEEK_EVERY: Final = 1.0  # minimum seconds between loads for a manual attempt only


class Backlog:
    """See the module's docstring. Times are epoch seconds."""

    __slots__ = (
        "_after",
        "_hinted",
        "_landed",
        "_peeked_at",
        "_position",
        "behind",
        "fifo",
        "loading",
        "next_due",
        "peek_at",
        "void",
    )

    def __init__(self, *, fifo: bool) -> None:
        self.fifo = fifo
        self.behind = False
        self.next_due = NEVER
        self.loading = False
        self.void = False  # the order changed during the load: its result is void
        self.peek_at = NEVER  # when to look for a manual attempt
        self._peeked_at = 0.0
        self._hinted = False  # a hint arrived during the load
        self._position = ReadPosition()
        self._after = START  # the position after which the load reads
        self._landed: set[UUID] = set()  # completed during the load

    def due(self, now: float) -> bool:
        """Whether anything may be due that is not held."""
        return self.behind or self.next_due <= now

    def passed(self, place: int) -> bool:
        """Whether a load may already have returned a delivery at this position."""
        return self._position.passed(place)

    def hint(self, due_at: float, *, manual: bool, since: int) -> None:
        """The database has a delivery due at that time (see `Lane.hint`)."""
        self._position.back_to(since)
        if self.fifo:
            self.behind = True  # only the database knows its position in the order
            self.void = self.void or (self.loading and since <= self._after)
        else:
            self.next_due = min(self.next_due, due_at)
            if manual:
                self.peek_at = min(self.peek_at, max(due_at, self._peeked_at + PEEK_EVERY))
        self._hinted = True

    def back_to(self, place: int) -> None:
        """The database has a delivery at this position that is not held any more."""
        self._position.back_to(place)

    def restart(self) -> None:
        """The order changed, and what waited is dropped."""
        self.behind = True
        self.void = self.loading

    def clock_set(self) -> None:
        """The clock was set: due times are read again."""
        self.next_due = self.peek_at = NEVER
        self._peeked_at = 0.0
        self.behind = self._hinted = True
        self._position.back_to(FIRST)

    def completed(self, message_id: UUID) -> None:
        """An outcome was committed."""
        if self.loading:
            self._landed.add(message_id)

    # loads

    def begin(self, now: float) -> int:
        """A load begins. Returns the position after which it reads never-attempted deliveries."""
        self.loading = True
        self._hinted = False
        self.peek_at = NEVER
        self._peeked_at = now
        after = self._position.begin()
        self._after = max(after - SLACK, START) if self.fifo else after
        return self._after

    def returned(self) -> bool:
        """The load returned. Returns whether to load again, whatever it found. `read` follows for its rows,
        then `loaded`."""
        self.loading = False
        return self.void or (self._hinted and self.fifo)

    def landed(self, message_id: UUID) -> bool:
        """Whether the delivery was completed during the load, whose snapshot may be older."""
        return message_id in self._landed

    def read(self, place: int, *, known: bool) -> None:
        """The load returned a never-attempted delivery at this position. `known`: it is held or done."""
        self._position.reach(place)
        if known:
            self._position.advance(place)
        else:
            self._position.back_to(place)

    def loaded(self, next_due: float | None, *, more: bool) -> None:
        """All rows of the load were taken. `more`: others may be due."""
        self.behind = more
        if not self._hinted or self.fifo:
            self.next_due = NEVER
        if next_due is not None:
            self.next_due = min(self.next_due, next_due)
        self._hinted = self.void = False
        self._landed.clear()

    def failed(self) -> None:
        """The load failed."""
        self.loading = self._hinted = self.void = False
        self._landed.clear()
        self.behind = True
