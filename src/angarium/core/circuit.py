"""A circuit per lane: an endpoint that is plainly down is probed now and then instead of hammered.

CLOSED counts consecutive overload failures; at `THRESHOLD` the circuit is OPEN for a growing pause, then
HALF-OPEN for one probe. A success closes it. Only failures of the endpoint as a whole count (see
`Judgement.overload`), not answers such as 400 that concern one message. The pause is short against the
delays of a schedule, so no attempt is late by more than `LONGEST`.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

THRESHOLD: Final = 10
FIRST: Final = 0.5
LONGEST: Final = 30.0


class Phase(Enum):
    """Where a circuit stands."""

    CLOSED = auto()
    OPEN = auto()
    HALF_OPEN = auto()


class Circuit:
    """Consecutive overload failures, and the pause that follows from them. Times are epoch seconds."""

    __slots__ = ("_failures", "_opened", "_until")

    def __init__(self) -> None:
        self._failures = 0
        self._opened = 0  # how often in a row
        self._until = 0.0

    def phase(self, now: float) -> Phase:
        if self._failures < THRESHOLD:
            return Phase.CLOSED
        return Phase.OPEN if now < self._until else Phase.HALF_OPEN

    def free_at(self) -> float:
        """When the next probe may go."""
        return self._until if self._failures >= THRESHOLD else 0.0

    def clock_set(self, by: float) -> None:
        """The clock was set by so many seconds: the pause keeps its length."""
        self._until += by

    def succeeded(self) -> None:
        self._failures = 0
        self._opened = 0

    def failed(self, now: float) -> None:
        self._failures += 1
        if self._failures >= THRESHOLD and now >= self._until:
            self._until = now + min(LONGEST, FIRST * 2.0 ** min(self._opened, 16))
            self._opened += 1
