"""Decides whether a read replica may serve a query, and measures its lag.

A replica may serve a query once it has replayed everything committed before the query, so that the result is
never stale. Log positions are comparable only within one cluster, database and timeline. Times are the
observer's steady time; wall clocks do not matter, and a primary that writes nothing causes no lag.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

SAMPLES: Final = 3600  # positions kept that the replica has not reached


class ReplicaTrouble(StrEnum):
    """Why the primary is used instead."""

    STARTING = "starting"  # not checked yet
    UNREACHABLE = "unreachable"
    LAGGING = "lagging"  # it did not replay the position of the query in time
    PROMOTED = "promoted"  # it is not a standby (anymore)
    DIVERGED = "diverged"  # another cluster, database or timeline
    CONFLICT = "conflict"  # replay canceled the query
    TOO_SLOW = "too-slow"
    REFUSED = "refused"  # the role lacks privileges, or the schema does not match


@dataclass(frozen=True, slots=True)
class LogPosition:
    """How far a server has written its log, or replayed it on a standby. `lsn`: in bytes; None on a server
    of the other kind."""

    system: int
    database: int
    timeline: int | None
    lsn: int | None


def judge(primary: LogPosition, replica: LogPosition) -> ReplicaTrouble | None:
    """Why the replica cannot serve a query sent when the primary was at that position; None if it can."""
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
    """Lag of a replica: the time since the oldest requested position that it has not replayed."""

    __slots__ = ("_missing", "bytes", "seconds")

    def __init__(self) -> None:
        self._missing: deque[tuple[float, int]] = deque()
        self.seconds: float | None = None
        self.bytes: int | None = None

    def noted(self, asked_at: float, primary: int, replica: int, now: float) -> None:
        """The primary was at position `primary` at `asked_at`, and the replica is at `replica` at `now`."""
        if len(self._missing) < SAMPLES:
            self._missing.append((asked_at, primary))
        while self._missing and self._missing[0][1] <= replica:
            self._missing.popleft()
        # a position just reached took no longer than this
        self.seconds = now - (self._missing[0][0] if self._missing else asked_at)
        self.bytes = max(0, primary - replica)

    def unknown(self) -> None:
        """The replica cannot be queried, or is of another cluster."""
        self._missing.clear()
        self.seconds = self.bytes = None
