"""The states of a delivery and what moves it between them; nothing else changes a state.

    PENDING ──2xx──▶ DELIVERED          any state ──resend, 2xx──▶ DELIVERED
    PENDING ──failure, schedule left──▶ PENDING (due later)
    PENDING ──failure, schedule used up, or the receiver wants no more of it──▶ EXHAUSTED
    PENDING ──endpoint disabled or deleted, payload gone──▶ CANCELED

A manual attempt stands beside the schedule: its success delivers, its failure changes nothing, so a
resend never costs an automatic retry. A test is one attempt: its failure exhausts.
`store/settle.py` writes exactly these moves, guarded by the state and the count of failures that the attempt
started from.
"""

from __future__ import annotations

from enum import Enum, auto

import msgspec

from angarium.core.nouns import State
from angarium.core.outcome import Judgement, Verdict
from angarium.core.schedule import Schedule


class Move(Enum):
    """What one attempt does to its delivery."""

    DELIVER = auto()
    RETRY = auto()
    EXHAUST = auto()
    CANCEL = auto()
    KEEP = auto()  # a manual attempt failed


class Next(msgspec.Struct, frozen=True, gc=False):
    """The move, and for RETRY the time (epoch seconds) at which the next attempt is due."""

    move: Move
    due: float | None = None


DELIVERED = Next(Move.DELIVER)
EXHAUSTED = Next(Move.EXHAUST)
CANCELED = Next(Move.CANCEL)
KEPT = Next(Move.KEEP)


def advance(
    *,
    state: State,
    manual: bool,
    test: bool = False,
    failures: int,
    judgement: Judgement,
    schedule: Schedule,
    now: float,
    chance: float,
) -> Next:
    """What follows from an attempt that ended `now`; `failures` counts the failed ones before it."""
    if judgement.verdict is Verdict.DELIVERED:
        return DELIVERED
    if manual or state is not State.PENDING:
        return KEPT
    if test or judgement.verdict in (Verdict.GONE, Verdict.ABORTED):
        return EXHAUSTED
    delay = schedule.delay(failures + 1, chance)
    if delay is None:
        return EXHAUSTED
    return Next(Move.RETRY, now + max(delay, judgement.pause or 0.0))
