"""Rules for delivery states: what follows from one attempt for the delivery, the lane and the endpoint.

    PENDING ──2xx──▶ DELIVERED          any state ──resend, 2xx──▶ DELIVERED
    PENDING ──failure, schedule left──▶ PENDING (due later)
    PENDING ──failure, schedule used up, or the receiver refuses more──▶ EXHAUSTED
    PENDING ──endpoint disabled or deleted, payload gone──▶ CANCELED
    any state ──failure on our side──▶ the same, and nothing is recorded

A manual attempt does not use the schedule: its success delivers, its failure changes nothing, so a resend
never costs an automatic retry. A test is one attempt: its failure exhausts.

`store/complete.py` writes exactly these moves, guarded by the state and the count of failures that the
attempt started from.
"""

from __future__ import annotations

from enum import Enum, IntEnum, auto
from typing import Final

import msgspec

from angarium.core.nouns import State
from angarium.core.outcome import AttemptResult
from angarium.core.schedule import Schedule

MAX_PAUSE: Final = 3600.0
"""Maximum pause in seconds from a Retry-After, so that a receiver's typo cannot stop a lane for a year."""


class Move(IntEnum):
    """What one attempt does to its delivery. An IntEnum, because it is looked up for every attempt, and other
    enums compute their hash in Python."""

    DELIVER = auto()
    RETRY = auto()
    EXHAUST = auto()
    CANCEL = auto()
    KEEP = auto()  # a manual attempt failed
    WAIT = auto()  # a failure on our side: the attempt is repeated, and nothing is written


class Effect(Enum):
    """What one attempt does to the health of its endpoint."""

    NONE = auto()
    RESET = auto()  # the endpoint is healthy
    FAILURE = auto()
    GONE = auto()  # a failure with which the receiver asks for no more messages


class Transition(msgspec.Struct, frozen=True, gc=False):
    """What follows from one attempt."""

    move: Move
    effect: Effect = Effect.NONE
    due: float | None = None  # for RETRY: epoch seconds at which the next attempt is due
    slows: bool = False  # the endpoint as a whole is failing, so its lane slows down
    pause: float | None = None  # seconds for which the receiver asked the lane to wait


class _Ending(Enum):
    """Result of an attempt, as the table needs it."""

    DELIVERED = auto()
    FAILED = auto()
    GONE = auto()  # 410, or `webhook-delivery: disable`
    ABORTED = auto()  # `webhook-delivery: abort-message`: this message is not wanted


class _Cause(Enum):
    """Why an attempt was made."""

    SCHEDULED = auto()
    TEST = auto()
    MANUAL = auto()  # or late: the delivery had already ended


_TABLE: Final = {
    (_Ending.DELIVERED, _Cause.SCHEDULED): (Move.DELIVER, Effect.RESET),
    (_Ending.DELIVERED, _Cause.TEST): (Move.DELIVER, Effect.RESET),
    (_Ending.DELIVERED, _Cause.MANUAL): (Move.DELIVER, Effect.RESET),
    (_Ending.FAILED, _Cause.SCHEDULED): (Move.RETRY, Effect.FAILURE),
    (_Ending.FAILED, _Cause.TEST): (Move.EXHAUST, Effect.NONE),
    (_Ending.FAILED, _Cause.MANUAL): (Move.KEEP, Effect.NONE),
    (_Ending.GONE, _Cause.SCHEDULED): (Move.EXHAUST, Effect.GONE),
    (_Ending.GONE, _Cause.TEST): (Move.EXHAUST, Effect.NONE),
    (_Ending.GONE, _Cause.MANUAL): (Move.KEEP, Effect.NONE),
    (_Ending.ABORTED, _Cause.SCHEDULED): (Move.EXHAUST, Effect.FAILURE),
    (_Ending.ABORTED, _Cause.TEST): (Move.EXHAUST, Effect.NONE),
    (_Ending.ABORTED, _Cause.MANUAL): (Move.KEEP, Effect.NONE),
}
"""RETRY becomes EXHAUST when the schedule is used up."""

DELIVERED: Final = Transition(Move.DELIVER, Effect.RESET)
CANCELED: Final = Transition(Move.CANCEL)
WAITING: Final = Transition(Move.WAIT)
_CONTROLS: Final = {"disable": _Ending.GONE, "abort-message": _Ending.ABORTED}


def advance(
    result: AttemptResult,
    *,
    state: State,
    manual: bool,
    test: bool = False,
    failures: int,
    on_gone: bool,
    schedule: Schedule,
    now: float,
    chance: float,
) -> Transition:
    """What follows from an attempt that ended `now`.

    `failures` counts the failed attempts before it. With `on_gone`, 410 disables the endpoint; without, it is
    an ordinary failure. Only 2xx delivers. With a failure, a receiver may send the header `webhook-delivery`
    (Svix's name): `disable` means the same as 410, `abort-message` gives up this message only.
    """
    if result.delivered:
        return DELIVERED
    kind = result.kind
    if kind is not None and kind.ours:
        return WAITING
    if manual or state is not State.PENDING:
        reason = _Cause.MANUAL
    else:
        reason = _Cause.TEST if test else _Cause.SCHEDULED
    move, effect = _TABLE[_ending(result, on_gone=on_gone), reason]
    pause = None
    if result.status_code and result.retry_after is not None:
        pause = min(max(result.retry_after, 0.0), MAX_PAUSE)
    due = None
    if move is Move.RETRY:
        delay = schedule.delay(failures + 1, chance)
        if delay is None:
            move = Move.EXHAUST
        else:
            due = now + max(delay, pause or 0.0)
    return Transition(move, effect, due, slows=kind is not None and kind.slows, pause=pause)


def _ending(result: AttemptResult, *, on_gone: bool) -> _Ending:
    if not result.status_code:
        return _Ending.FAILED
    ending = (
        _Ending.GONE if result.status_code == 410 else _CONTROLS.get(result.control or "", _Ending.FAILED)
    )
    return _Ending.FAILED if ending is _Ending.GONE and not on_gone else ending
