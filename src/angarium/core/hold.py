"""Tells why an attempt started later than it was due: the lane was held, or we were late.

`lateness` counts from when the delivery was due or from when its lane stopped being held, whichever is
later. So what the endpoint or its settings cause is not counted as ours.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Held(StrEnum):
    """What held a lane while a delivery was due."""

    NO = "no"
    RATE = "rate"  # the endpoint's rate limit
    CONCURRENCY = "concurrency"  # as many requests in flight as the endpoint is allowed
    FAILING = "failing"  # the limits of failing endpoints
    PAUSE = "pause"  # the receiver asked for it with Retry-After
    ORDER = "order"  # first-in-first-out


_BY_ANSWER: Final = (Held.CONCURRENCY, Held.FAILING, Held.ORDER)


class Hold:
    """What last held one lane. Times are epoch seconds."""

    __slots__ = ("_lasts", "_reason", "_until")

    def __init__(self) -> None:
        self._reason = Held.NO
        self._until = 0.0
        self._lasts = False

    def note(self, reason: Held, until: float) -> None:
        """The lane may not send now, nor before `until`, as far as is known."""
        self._reason = reason
        self._until = until
        self._lasts = True

    def answered(self, now: float) -> None:
        """An attempt of the lane ended, which may end the hold."""
        if self._lasts and self._reason in _BY_ANSWER:
            self._until = max(self._until, now)

    def sent(self) -> None:
        """The lane sends, so it is not held."""
        self._lasts = False

    def lateness(self, due_at: float, now: float) -> tuple[Held, float]:
        """By how many seconds an attempt that starts `now` is late, and what held its lane before."""
        if self._until < due_at:
            return Held.NO, max(0.0, now - due_at)
        return self._reason, max(0.0, now - self._until)

    def clock_set(self, by: float) -> None:
        """The clock was set by `by` seconds."""
        self._until += by
