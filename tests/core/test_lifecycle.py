"""What follows from an attempt: for the delivery, the lane and the endpoint, and when the next one is due."""

from __future__ import annotations

import pytest

from angarium.core.failure import KINDS, kind_of
from angarium.core.lifecycle import MAX_PAUSE, Effect, Move, Transition, advance
from angarium.core.nouns import State
from angarium.core.outcome import AttemptResult
from angarium.core.schedule import Schedule

NOW = 1_800_000_000.0
SCHEDULE = Schedule((5.0, 300.0), 0.0)


def result(code: str | None = None, status: int = 0, **facts: object) -> AttemptResult:
    kind = kind_of(code or f"http_{status}") if code or not 200 <= status <= 299 else None
    return AttemptResult(status, kind, None, None, 1, **facts)  # type: ignore[arg-type]


OK = result(status=200)
REFUSED = result("connect_refused")
GONE = result(status=410)
DISABLE = result(status=500, control="disable")
ABORT = result(status=500, control="abort-message")
FAILURES = [REFUSED, result("refused_address"), result(status=500), GONE, DISABLE, ABORT]
OURS = [result(kind.code) for kind in KINDS.values() if kind.ours]


def follows(
    came: AttemptResult,
    state: State = State.PENDING,
    *,
    manual: bool = False,
    test: bool = False,
    failures: int = 0,
    on_gone: bool = True,
) -> Transition:
    return advance(
        came, state=state, manual=manual, test=test, failures=failures, on_gone=on_gone,
        schedule=SCHEDULE, now=NOW, chance=0.5,
    )  # fmt: skip


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("manual", [False, True])
@pytest.mark.parametrize("test", [False, True])
def test_a_success_delivers_whatever_came_before(state: State, manual: bool, test: bool) -> None:
    for status in range(200, 300):
        came = result(status=status, retry_after=9.0, control="disable")
        assert follows(came, state, manual=manual, test=test) == Transition(Move.DELIVER, Effect.RESET)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("manual", [False, True])
@pytest.mark.parametrize("test", [False, True])
@pytest.mark.parametrize("failures", [0, 1, 2])
def test_a_failure_on_our_side_changes_nothing(state: State, manual: bool, test: bool, failures: int) -> None:
    assert len(OURS) == 6
    for came in OURS:
        following = follows(came, state, manual=manual, test=test, failures=failures)
        assert following == Transition(Move.WAIT, Effect.NONE)


def test_only_410_is_gone() -> None:
    for status in (*range(100, 200), *range(300, 1000)):
        effect = follows(result(status=status)).effect
        assert effect is (Effect.GONE if status == 410 else Effect.FAILURE), status


@pytest.mark.parametrize("came", FAILURES)
def test_a_manual_attempt_that_fails_changes_nothing(came: AttemptResult) -> None:
    for state in State:
        for test in (False, True):
            following = follows(came, state, manual=True, test=test)
            assert (following.move, following.effect) == (Move.KEEP, Effect.NONE)


@pytest.mark.parametrize("state", [state for state in State if state is not State.PENDING])
def test_a_failure_of_an_ended_delivery_changes_nothing(state: State) -> None:
    assert follows(REFUSED, state).move is Move.KEEP
    assert follows(REFUSED, state).effect is Effect.NONE


def test_a_receiver_can_end_the_retries_of_a_delivery() -> None:
    for came, effect in ((GONE, Effect.GONE), (DISABLE, Effect.GONE), (ABORT, Effect.FAILURE)):
        assert (follows(came).move, follows(came).effect) == (Move.EXHAUST, effect)
    assert follows(result(status=500, control="nonsense")).move is Move.RETRY


@pytest.mark.parametrize("came", [GONE, DISABLE])
def test_without_the_rule_410_is_a_failure_as_any_other(came: AttemptResult) -> None:
    following = follows(came, on_gone=False)
    assert (following.move, following.effect) == (Move.RETRY, Effect.FAILURE)


@pytest.mark.parametrize("came", [REFUSED, result("refused_address"), result(status=400)])
def test_a_failure_is_retried_by_the_schedule_until_it_is_used_up(came: AttemptResult) -> None:
    assert (follows(came).move, follows(came).due) == (Move.RETRY, NOW + 5.0)
    assert follows(came, failures=1).due == NOW + 300.0
    last = follows(came, failures=2)
    assert (last.move, last.effect, last.due) == (Move.EXHAUST, Effect.FAILURE, None)


@pytest.mark.parametrize("came", FAILURES)
def test_a_test_is_one_attempt(came: AttemptResult) -> None:
    following = follows(came, test=True)
    assert (following.move, following.effect) == (Move.EXHAUST, Effect.NONE)


@pytest.mark.parametrize(
    ("asked", "pause", "delay"),
    [(None, None, 5.0), (-5.0, 0.0, 5.0), (0.5, 0.5, 5.0), (60.0, 60.0, 60.0), (1e9, MAX_PAUSE, MAX_PAUSE)],
)
def test_retry_after_postpones_and_never_brings_forward(
    asked: float | None, pause: float | None, delay: float
) -> None:
    following = follows(result(status=503, retry_after=asked))
    assert (following.pause, following.due) == (pause, NOW + delay)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_an_overloaded_receiver_slows_its_lane(status: int) -> None:
    assert follows(result(status=status)).slows


@pytest.mark.parametrize("status", [200, 301, 400, 404, 410, 500, 501])
def test_an_ordinary_response_does_not_slow_the_lane(status: int) -> None:
    assert not follows(result(status=status)).slows


SLOWING = [
    "timeout", "connect_refused", "connect_failed", "connect_timeout", "connect_no_route",
    "connect_no_network", "dns", "dns_unanswered", "reset", "tls", "refused_address",
]  # fmt: skip


@pytest.mark.parametrize("code", SLOWING)
def test_a_failed_connection_slows_the_lane(code: str) -> None:
    assert follows(result(code)).slows


@pytest.mark.parametrize("code", ["protocol", "too_large", "bad_request", "local"])
def test_a_failure_of_one_request_does_not_slow_the_lane(code: str) -> None:
    assert not follows(result(code)).slows


def test_a_delay_may_be_shorter_than_a_second() -> None:
    following = advance(
        REFUSED, state=State.PENDING, manual=False, test=False, failures=0, on_gone=True,
        schedule=Schedule((0.5,), 0.0), now=NOW, chance=0.5,
    )  # fmt: skip
    assert following.due == NOW + 0.5
