"""Tracks how far a lane has read its never-attempted deliveries, which it reads in order of position.

A position is a number: the message id in a free lane, the order of acceptance in a first-in-first-out lane.
Each load continues after the last position, so it skips what is done, even if an old snapshot keeps it in the
table. Everything up to `after` is held or done. Messages are not committed in order of position, so callers
report each one that is not held, even during a load. Several deliveries can have the position FIRST, so
reading one of them says nothing about the others.

A report may come late, or never. In a free lane this only costs time. In a first-in-first-out lane, a message
committed after its position was read must still precede those accepted after its commit. So each load reads
the last SLACK positions again, which is more than are assigned during one commit. (Accepted: if a commit
takes longer and its report is late as well, the message comes after them.)
"""

from __future__ import annotations

from typing import Final

FIRST: Final = 0
LAST: Final = 2**128 - 1  # the position of no message
START: Final = FIRST - 1  # reading after it returns all
SLACK: Final = 10_000  # positions that a first-in-first-out lane reads again


class ReadPosition:
    """See the module's docstring."""

    __slots__ = ("_reached", "_unread", "after")

    def __init__(self) -> None:
        self.after = START
        self._reached = START  # the last position that a load returned
        self._unread = LAST  # the first position that the current load may have missed

    def begin(self) -> int:
        """A load begins. Returns the position after which it reads."""
        self._unread = LAST
        return self.after

    def reach(self, place: int) -> None:
        """A load returned the delivery at this position."""
        self._reached = max(self._reached, place)

    def advance(self, place: int) -> None:
        """A load returned the delivery at this position. It and all before it are held or done."""
        if place > FIRST:
            self.after = max(self.after, min(place, self._unread - 1))

    def passed(self, place: int) -> bool:
        """Whether a load may have returned the delivery at this position, which may be done by now."""
        return place <= self.after or place <= self._reached

    def back_to(self, place: int) -> None:
        """The database has a delivery at this position that is not held."""
        self._unread = min(self._unread, place)
        self.after = min(self.after, place - 1)
