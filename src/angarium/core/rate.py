"""A rate limit that is exact: never more than `limit` sends in any window of one second."""

from __future__ import annotations

from collections import deque
from typing import Final

WINDOW: Final = 1.0


class RateWindow:
    """The times of the last sends; the oldest of `limit` decides when the next may follow."""

    __slots__ = ("_limit", "_sent")

    def __init__(self, limit: int, *, full_since: float | None = None) -> None:
        """`full_since`: assume a whole window was used at that time, as a new owner of a lane must."""
        self._limit = limit
        self._sent: deque[float] = deque(maxlen=limit)
        if full_since is not None:
            self._sent.extend([full_since] * limit)

    def free_at(self) -> float:
        """The earliest time at which another send is within the limit."""
        return self._sent[0] + WINDOW if len(self._sent) == self._limit else 0.0

    def note(self, now: float) -> None:
        """A send happened."""
        self._sent.append(now)

    def resized(self, limit: int) -> RateWindow:
        """The same history under another limit."""
        window = RateWindow(limit)
        window._sent.extend(self._sent)
        return window
