"""How far a lane has read the deliveries that were never attempted, which it reads in order of place.

A place is a number: that of the message id in a free lane, that of the order of acceptance in a
first-in-first-out lane. Reading on from the last place keeps a load cheap: what is done is not passed over
again, also while an old snapshot keeps it in the table. What is up to `after` is in hand or done. Messages
are not committed in order of place, so callers report each one that is not in hand, also while a load is
under way. Several deliveries can have the place FIRST, so reading one of them says nothing about the others.

Such a report may come late, or never. In a free lane that costs time alone. In a first-in-first-out lane
a message that was committed after its place was read must still come before those that were accepted after
its commit, so each load reads the last SLACK places once more: more than are given while a message is
committed. (Accepted: one that takes longer, and whose report is late too, comes after them.)
"""

from __future__ import annotations

from typing import Final

FIRST: Final = 0
LAST: Final = 2**128 - 1  # the place of nothing
START: Final = FIRST - 1  # reading from behind it, all come
SLACK: Final = 10_000  # places that a first-in-first-out lane reads once more


class ReadPosition:
    """See the module's docstring."""

    __slots__ = ("_unread", "after")

    def __init__(self) -> None:
        self.after = START
        self._unread = LAST  # the first place that a load under way may have missed

    def begin(self) -> int:
        """A load begins; gives the place behind which it reads."""
        self._unread = LAST
        return self.after

    def advance(self, place: int) -> None:
        """A load brought what has this place, and it is in hand or done, as is all that came before it."""
        if place > FIRST:
            self.after = max(self.after, min(place, self._unread - 1))

    def passed(self, place: int) -> bool:
        """Whether reading is past it: it was in hand before, or it was committed after its place was read."""
        return place <= self.after

    def back_to(self, place: int) -> None:
        """The table has something with this place that is not in hand."""
        self._unread = min(self._unread, place)
        self.after = min(self.after, place - 1)
