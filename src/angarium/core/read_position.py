"""How far a lane has read the deliveries that were never attempted, which it reads in order of message id.

Reading on from there keeps a load cheap: what is done is not passed over again, also while an old snapshot
keeps it in the table. What is up to `after` is in hand or done. Messages are not committed in order of id, so
callers report each one that is not in hand, also while a load is under way.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

FIRST: Final = UUID(int=0)
LAST: Final = UUID(int=2**128 - 1)


class ReadPosition:
    """See the module's docstring."""

    __slots__ = ("_unread", "after")

    def __init__(self) -> None:
        self.after = FIRST
        self._unread = LAST  # the first message that a load under way may have missed

    def begin(self) -> UUID:
        """A load begins; gives the message behind which it reads."""
        self._unread = LAST
        return self.after

    def advance(self, message_id: UUID) -> None:
        """A load brought this message, and it is in hand or done."""
        self.after = max(self.after, min(message_id, _before(self._unread)))

    def passed(self, message_id: UUID) -> bool:
        """Whether reading is past it: it was in hand before, or it was committed after its place was read."""
        return self.after is not FIRST and message_id <= self.after

    def back_to(self, message_id: UUID) -> None:
        """The table has this message, and it is not in hand."""
        self._unread = min(self._unread, message_id)
        if message_id <= self.after:
            self.after = _before(message_id)


def _before(message_id: UUID) -> UUID:
    return UUID(int=max(message_id.int - 1, 0))
