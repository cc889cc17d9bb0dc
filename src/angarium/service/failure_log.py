"""Logs refused credentials at a bounded rate, so that guessing cannot flood the log.

Credentials are never logged. Of the failures of one origin, the 1st, 2nd, 4th, 8th … within a window are
logged with their number. A token bucket limits the lines of all origins together; suppressed lines are
counted, and the next line carries their number.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import structlog

from angarium.clock import Clock

WINDOW: Final = 600.0  # seconds after which an origin's failures are counted from one again
LINES: Final = 20  # at once
LINE_EVERY: Final = 1.0  # seconds per additional line
MOST_KNOWN: Final = 10_000

log = structlog.get_logger(__name__)


class FailureLog:
    """Counts and logs failures in this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counts: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()
        self._full_at = 0.0  # when the bucket of lines is full again
        self._unlogged = 0

    def note(self, origin: str, reason: str, *, kind: str, address: str | None) -> None:
        """Record one failure. Failures are counted by `origin` and `reason`."""
        now = self._clock.steady()
        count, since = self._counts.pop((origin, reason), (0, now))
        if now - since >= WINDOW:
            count, since = 0, now
        count += 1
        self._counts[origin, reason] = (count, since)
        if len(self._counts) > MOST_KNOWN:
            self._counts.popitem(last=False)
        if count & (count - 1):  # not a power of two
            return
        full_at = max(now, self._full_at) + LINE_EVERY
        if full_at - now > LINES * LINE_EVERY:
            self._unlogged += 1
            return
        self._full_at = full_at
        log.warning(
            "credential.refused",
            kind=kind,
            address=address,
            reason=reason,
            failures=count,
            unlogged=self._unlogged,
        )
        self._unlogged = 0
