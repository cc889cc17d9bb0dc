"""Who has said nothing for too long, as one observer sees it.

Each party leaves a mark that changes whenever it says something. The observer looks at all marks again and
again, and counts by its own steady time how long one stays the same. So no clock but its own matters: the
clock that makes the marks may be set forwards or backwards. A gap between two looks counts for no more than
`most`, because an observer that was paused has seen nothing meanwhile.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

Party = TypeVar("Party", bound=Hashable)
Mark = TypeVar("Mark", bound=Hashable)


class Silences(Generic[Party, Mark]):
    """What one observer has seen so far."""

    __slots__ = ("_limit", "_looked_at", "_most", "_seen")

    def __init__(self, limit: float, most: float) -> None:
        """`limit`: seconds of silence that are too long. `most`: seconds that one gap counts."""
        self._limit = limit
        self._most = most
        self._looked_at = 0.0
        self._seen: dict[Party, tuple[Mark, float]] = {}

    def look(self, marks: Mapping[Party, Mark | None], now: float) -> dict[Party, Mark]:
        """Those who have been silent for too long at `now`, with their marks. One without a mark cannot be
        judged."""
        watched = min(now - self._looked_at, self._most)
        self._looked_at = now
        seen, self._seen = self._seen, {}
        silent = {}
        for party, mark in marks.items():
            if mark is None:
                continue
            before, seconds = seen.get(party, (mark, -watched))
            seconds = seconds + watched if before == mark else 0.0
            self._seen[party] = mark, seconds
            if seconds > self._limit:
                silent[party] = mark
        return silent
