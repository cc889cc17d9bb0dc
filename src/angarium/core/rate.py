"""A rate limit that is exact, and paced: never more than `limit` sends in any window of one second, and
spread over it, so that a receiver that counts in shorter windows is not surprised by bunches."""

from __future__ import annotations

from collections import deque
from typing import Final

WINDOW: Final = 1.0
SLACK: Final = 0.02
"""Seconds by which a send may come before its even place: timers are late, and the rate must be reached."""


class RateWindow:
    """The times of the last sends; the oldest of `limit` decides when the next may follow."""

    __slots__ = ("_even", "_limit", "_sent")

    def __init__(self, limit: int, *, full_since: float | None = None) -> None:
        """`full_since`: assume a whole window was used at that time, as a new owner of a lane must."""
        self._limit = limit
        self._sent: deque[float] = deque(maxlen=limit)
        self._even = 0.0  # the even place of the next send
        if full_since is not None:
            self._sent.extend([full_since] * limit)

    def free_at(self) -> float:
        """The earliest time at which another send is within the limit."""
        window = self._sent[0] + WINDOW if len(self._sent) == self._limit else 0.0
        return max(window, self._even - SLACK)

    def note(self, now: float) -> None:
        """A send happened."""
        self._sent.append(now)
        self._even = max(now, self._even) + WINDOW / self._limit

    def clock_set(self, by: float) -> None:
        """The clock was set by so many seconds: what was sent stays as long ago as it was."""
        for _ in range(len(self._sent)):
            self._sent.append(self._sent.popleft() + by)
        self._even += by

    def resized(self, limit: int) -> RateWindow:
        """The same history under another limit."""
        window = RateWindow(limit)
        window._sent.extend(self._sent)
        return window
