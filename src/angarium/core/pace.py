"""Limits the deliveries that a process starts each second, as its share of a pace for all processes."""

from __future__ import annotations

from typing import Final

BURST: Final = 0.5  # seconds whose starts may come at once


class Pace:
    """A bucket of starts, which is filled at a rate. Times are seconds of a steady clock."""

    __slots__ = ("_at", "_starts")

    def __init__(self, now: float) -> None:
        self._starts = 0.0
        self._at = now

    def admits(self, rate: float, now: float) -> bool:
        """Whether a delivery may start now, at `rate` starts a second."""
        self._starts = min(self._starts + (now - self._at) * rate, max(1.0, rate * BURST))
        self._at = now
        return self._starts >= 1

    def started(self) -> None:
        """A delivery starts."""
        self._starts -= 1

    def wait(self, rate: float) -> float:
        """Seconds until the next one may start."""
        return max(0.0, 1 - self._starts) / rate if rate else BURST
