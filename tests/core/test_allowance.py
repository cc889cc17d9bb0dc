"""How much an endpoint may be sent: it grows with success, shrinks with failure, and never to nothing."""

from __future__ import annotations

import pytest

from angarium.core.allowance import (
    FAILING_IN_FLIGHT,
    FAILING_STARTS,
    FIRST,
    MANUAL_EXTRA,
    THRESHOLD,
    Allowance,
)

NOW = 1_800_000_000.0


def failed(allowance: Allowance, times: int = THRESHOLD, took: float = 0.0) -> Allowance:
    for _ in range(times):
        allowance.failed(took)
    return allowance


def grown(limit: int = 64) -> Allowance:
    allowance = Allowance(limit)
    for _ in range(limit):
        allowance.succeeded()
    return allowance


def count(allowance: Allowance) -> int:
    return allowance.in_flight(manual=False)


def test_an_unknown_endpoint_gets_a_few_requests_in_flight() -> None:
    assert count(Allowance(64)) == FIRST
    assert count(Allowance(2)) == 2


def test_each_success_allows_one_more_up_to_the_limit() -> None:
    allowance = Allowance(64)
    allowance.succeeded()
    assert count(allowance) == FIRST + 1
    assert count(grown()) == 64


def test_each_failure_halves_the_limit_and_then_it_grows_slowly() -> None:
    allowance = failed(grown(), 3)
    assert count(allowance) == 8
    for _ in range(8):
        allowance.succeeded()
    assert count(allowance) == 8  # eight answers make one more, or just about
    allowance.succeeded()
    assert count(allowance) == 9


def test_an_endpoint_that_fails_immediately_shrinks_to_one_request() -> None:
    for took in (0.0, 0.05):
        assert count(failed(grown(), THRESHOLD - 1, took=took)) == 1


@pytest.mark.parametrize(("took", "slots"), [(1.5, 2), (15.0, 15), (60.0, FAILING_IN_FLIGHT)])
def test_a_hanging_endpoint_keeps_enough_requests_for_one_start_a_second(took: float, slots: int) -> None:
    assert count(failed(grown(), THRESHOLD - 1, took=took)) == slots
    assert count(failed(grown(limit=8), THRESHOLD - 1, took=took)) == min(8, slots)


def test_after_ten_failures_in_a_row_the_endpoint_is_failing() -> None:
    for allowance in (grown(), Allowance(64)):
        failed(allowance, THRESHOLD - 1)
        assert not allowance.failing
        assert allowance.free_at() == 0.0
        allowance.failed(0.0)
        assert allowance.failing
        assert count(allowance) == FAILING_IN_FLIGHT


def test_a_success_resets_the_count_of_failures() -> None:
    allowance = failed(grown(), THRESHOLD - 1)
    allowance.succeeded()
    assert not failed(allowance, THRESHOLD - 1).failing


def test_a_failing_endpoint_has_a_limit_of_starts_a_second() -> None:
    allowance, now, starts = failed(grown()), NOW, 0
    while now < NOW + 10:
        now = max(now, allowance.free_at())
        allowance.started(now)
        starts += 1
    assert starts == pytest.approx(10 * FAILING_STARTS, rel=0.02)


def test_manual_attempts_have_extra_requests_in_flight() -> None:
    allowance = failed(grown())
    assert allowance.in_flight(manual=True) == FAILING_IN_FLIGHT + MANUAL_EXTRA
    assert failed(grown(limit=5)).in_flight(manual=True) == 5
    assert grown().in_flight(manual=True) == 64


def test_the_first_success_ends_the_failing_state_and_growth_is_fast() -> None:
    allowance = failed(grown())
    allowance.started(NOW)
    allowance.succeeded()
    assert not allowance.failing
    assert allowance.free_at() == 0.0
    assert count(allowance) == FAILING_IN_FLIGHT + 1
    for _ in range(FAILING_IN_FLIGHT):
        allowance.succeeded()
    assert count(allowance) == 2 * FAILING_IN_FLIGHT + 1


def test_a_known_failing_endpoint_starts_failing_and_ends_with_a_success() -> None:
    allowance = Allowance(64)
    allowance.fail()
    assert allowance.failing
    allowance.succeeded()
    assert not allowance.failing


def test_a_lower_limit_holds_at_once() -> None:
    allowance = grown()
    allowance.limited(3)
    assert count(allowance) == 3
    assert count(failed(allowance)) == 3


def test_growth_up_to_a_new_limit_is_fast() -> None:
    allowance = failed(grown(), 3)
    allowance.limited(5)
    allowance.limited(20)
    for slots in (6, 7, 8):
        allowance.succeeded()
        assert count(allowance) == slots


def test_setting_the_clock_does_not_change_the_starts_a_second() -> None:
    allowance = failed(grown())
    allowance.started(NOW)
    before = allowance.free_at() - NOW
    allowance.clock_set(-3600.0)
    assert allowance.free_at() - (NOW - 3600.0) == pytest.approx(before)
