"""Detects parties that have been silent for too long, from the view of one observer.

Each party has a mark that changes whenever it reports. The observer reads all marks periodically and measures
by its own steady time how long each stays the same. So only the observer's clock matters: the clock that
makes the marks may jump. The time between two looks counts for at most `most`, because a paused observer sees
nothing.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

Party = TypeVar("Party", bound=Hashable)
Mark = TypeVar("Mark", bound=Hashable)


class Silences(Generic[Party, Mark]):
    """The observations of one observer."""

    __slots__ = ("_limit", "_looked_at", "_most", "_seen")

    def __init__(self, limit: float, most: float) -> None:
        """`limit`: maximum seconds of silence. `most`: maximum seconds that one gap counts."""
        self._limit = limit
        self._most = most
        self._looked_at = 0.0
        self._seen: dict[Party, tuple[Mark, float]] = {}

    def look(self, marks: Mapping[Party, Mark | None], now: float) -> dict[Party, Mark]:
        """Parties that have been silent for too long at `now`, with their marks. A party without a mark is
        ignored."""
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
