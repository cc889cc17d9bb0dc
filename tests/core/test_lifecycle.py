"""What follows from an attempt: the table of moves, and when the next attempt is due."""

from __future__ import annotations

import pytest

from angarium.core.lifecycle import Move, Next, advance
from angarium.core.nouns import State
from angarium.core.outcome import Judgement, Verdict
from angarium.core.schedule import Schedule

NOW = 1_800_000_000.0
SCHEDULE = Schedule((5.0, 300.0), 0.0)


def follows(
    verdict: Verdict,
    state: State = State.PENDING,
    *,
    manual: bool = False,
    test: bool = False,
    failures: int = 0,
    pause: float | None = None,
) -> Next:
    return advance(
        state=state,
        manual=manual,
        test=test,
        failures=failures,
        judgement=Judgement(verdict, overload=False, pause=pause),
        schedule=SCHEDULE,
        now=NOW,
        chance=0.5,
    )


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("manual", [False, True])
@pytest.mark.parametrize("test", [False, True])
def test_a_success_delivers_whatever_came_before(state: State, manual: bool, test: bool) -> None:
    assert follows(Verdict.DELIVERED, state, manual=manual, test=test) == Next(Move.DELIVER)


@pytest.mark.parametrize("verdict", [Verdict.RETRY, Verdict.GONE, Verdict.ABORTED, Verdict.REFUSED])
def test_a_manual_attempt_that_fails_changes_nothing(verdict: Verdict) -> None:
    for state in State:
        assert follows(verdict, state, manual=True) == Next(Move.KEEP)
        assert follows(verdict, state, manual=True, test=True) == Next(Move.KEEP)


@pytest.mark.parametrize("state", [state for state in State if state is not State.PENDING])
def test_a_failure_of_what_has_ended_changes_nothing(state: State) -> None:
    assert follows(Verdict.RETRY, state) == Next(Move.KEEP)


@pytest.mark.parametrize("verdict", [Verdict.GONE, Verdict.ABORTED])
def test_a_receiver_that_wants_no_more_of_it_exhausts_it(verdict: Verdict) -> None:
    assert follows(verdict) == Next(Move.EXHAUST)


@pytest.mark.parametrize("verdict", [Verdict.RETRY, Verdict.REFUSED])
def test_a_failure_is_retried_by_the_schedule_until_it_is_used_up(verdict: Verdict) -> None:
    assert follows(verdict, failures=0) == Next(Move.RETRY, NOW + 5.0)
    assert follows(verdict, failures=1) == Next(Move.RETRY, NOW + 300.0)
    assert follows(verdict, failures=2) == Next(Move.EXHAUST)


@pytest.mark.parametrize("verdict", [Verdict.RETRY, Verdict.REFUSED])
def test_a_test_is_one_attempt(verdict: Verdict) -> None:
    assert follows(verdict, test=True) == Next(Move.EXHAUST)


@pytest.mark.parametrize(("pause", "delay"), [(None, 5.0), (0.0, 5.0), (0.5, 5.0), (60.0, 60.0)])
def test_a_pause_that_the_receiver_asked_for_postpones_and_never_hastens(
    pause: float | None, delay: float
) -> None:
    assert follows(Verdict.RETRY, pause=pause) == Next(Move.RETRY, NOW + delay)
