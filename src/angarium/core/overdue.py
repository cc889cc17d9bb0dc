"""Estimates when a due delivery will start. Pure; times are epoch seconds.

A due delivery waits for the allowance of its endpoint, for the rate limit, or for the one before it in order.
The estimate uses its position among due deliveries and the endpoint's recent attempts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

RECENT: Final = 60.0  # seconds over which attempts are counted
ON_TIME: Final = 5.0  # seconds after its due time within which an attempt starts if it need not wait
STARTS: Final = 1.0  # a second, assumed without recent attempts


@dataclass(frozen=True, slots=True)
class FaultHold:
    """A fault on our side that holds an endpoint's deliveries: its code and start time."""

    code: str
    since: float


@dataclass(frozen=True, slots=True)
class WaitEstimate:
    """`ahead`: deliveries of the endpoint that come before it, as far as counted.

    `waiting`: it has been due for longer than a start takes. `expected_at`: None if unknown, because a fault
    on our side holds it, or the endpoint had no attempt for `RECENT` seconds.
    """

    ahead: int
    waiting: bool
    expected_at: float | None
    hold: FaultHold | None = None


def estimate(
    *,
    due_at: float,
    ahead: int,
    recent: int,
    head_due: float | None,
    now: float,
    hold: FaultHold | None = None,
) -> WaitEstimate:
    """The estimate for a delivery due since `due_at`.

    `recent`: attempts of the endpoint that ended within the last `RECENT` seconds. `head_due`: when the first
    delivery of a first-in-first-out endpoint is due; all others wait for it. `hold`: a fault on our side that
    holds the endpoint's deliveries.
    """
    waiting = now - due_at > ON_TIME
    if hold is not None:
        return WaitEstimate(ahead, waiting, None, hold)
    begins = now if head_due is None else max(now, head_due)
    if not recent and begins == now and now - due_at > RECENT:
        return WaitEstimate(ahead, waiting, None)
    return WaitEstimate(ahead, waiting, begins + ahead / (recent / RECENT if recent else STARTS))
