"""Exact, paced rate limit: at most `limit` sends in any window of one second, evenly spread.

The pacing avoids bursts for receivers that count in shorter windows.
"""

from __future__ import annotations

from collections import deque
from typing import Final

WINDOW: Final = 1.0
SLACK: Final = 0.02
"""Seconds by which a send may precede its even time, so that the rate is reached although timers are late."""


class RateWindow:
    """Times of the last `limit` sends. The oldest decides when the next may follow."""

    __slots__ = ("_even", "_limit", "_sent")

    def __init__(self, limit: int, *, full_since: float | None = None) -> None:
        """`full_since`: assume that the whole limit was used at that time, as a new owner of a lane must."""
        self._limit = limit
        self._sent: deque[float] = deque(maxlen=limit)
        self._even = 0.0  # the even time of the next send
        if full_since is not None:
            self._sent.extend([full_since] * limit)

    def free_at(self) -> float:
        """The earliest time at which another send is within the limit."""
        window = self._sent[0] + WINDOW if len(self._sent) == self._limit else 0.0
        return max(window, self._even - SLACK)

    def note(self, now: float) -> None:
        """Record a send."""
        self._sent.append(now)
        self._even = max(now, self._even) + WINDOW / self._limit

    def clock_set(self, by: float) -> None:
        """The clock was set by `by` seconds: shift the recorded times."""
        for _ in range(len(self._sent)):
            self._sent.append(self._sent.popleft() + by)
        self._even += by

    def resized(self, limit: int) -> RateWindow:
        """The same history under another limit."""
        window = RateWindow(limit)
        window._sent.extend(self._sent)
        return window
