"""Whether a read replica may answer, and how far it is behind.

A replica may answer when it has replayed all that was committed before the question, so that its answer is
never older than the question. Positions in the log compare only within one history: one cluster, one
database, one timeline. Time is the observer's steady time; no wall clock matters, and a primary that writes
nothing makes no lag.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

SAMPLES: Final = 3600  # positions remembered while the replica does not get to them


class ReplicaTrouble(StrEnum):
    """Why the primary answers instead."""

    STARTING = "starting"  # nobody has looked yet
    UNREACHABLE = "unreachable"
    LAGGING = "lagging"  # it has not replayed the question's position in time
    PROMOTED = "promoted"  # it is no standby (any more)
    DIVERGED = "diverged"  # another cluster, database or timeline
    CONFLICT = "conflict"  # replay canceled a query
    TOO_SLOW = "too-slow"
    REFUSED = "refused"  # the role may not look, or the schema does not fit


@dataclass(frozen=True, slots=True)
class LogPosition:
    """How far a server's log is written, or replayed on a standby. `lsn`: in bytes; None on a server of the
    other kind."""

    system: int
    database: int
    timeline: int | None
    lsn: int | None


def judge(primary: LogPosition, replica: LogPosition) -> ReplicaTrouble | None:
    """What keeps the replica from answering what was asked when the primary was there; None: nothing."""
    if (primary.system, primary.database) != (replica.system, replica.database):
        return ReplicaTrouble.DIVERGED
    if replica.lsn is None:
        return ReplicaTrouble.PROMOTED
    if primary.timeline != replica.timeline:
        return ReplicaTrouble.DIVERGED
    if primary.lsn is None or replica.lsn < primary.lsn:
        return ReplicaTrouble.LAGGING
    return None


class Lag:
    """How far a replica is behind: since when it has not replayed the oldest position that was asked for."""

    __slots__ = ("_missing", "bytes", "seconds")

    def __init__(self) -> None:
        self._missing: deque[tuple[float, int]] = deque()
        self.seconds: float | None = None
        self.bytes: int | None = None

    def noted(self, asked_at: float, primary: int, replica: int, now: float) -> None:
        """The primary was at a position at `asked_at`, and the replica is at another `now`."""
        if len(self._missing) < SAMPLES:
            self._missing.append((asked_at, primary))
        while self._missing and self._missing[0][1] <= replica:
            self._missing.popleft()
        # what has just been reached took no longer than this
        self.seconds = now - (self._missing[0][0] if self._missing else asked_at)
        self.bytes = max(0, primary - replica)

    def unknown(self) -> None:
        """The replica cannot be asked, or is another's."""
        self._missing.clear()
        self.seconds = self.bytes = None
