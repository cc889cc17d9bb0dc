"""The rate limit: exact in every second, paced within it, and reached."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angarium.core.rate import SLACK, RateWindow


def sends(limit: int, seconds: float, lateness: float = 0.0) -> list[float]:
    """When a lane with endless work sends, with timers that are late."""
    window = RateWindow(limit)
    now, times = 1000.0, []
    while now < 1000.0 + seconds:
        if window.free_at() <= now:
            window.note(now)
            times.append(now)
            assert len(times) <= limit * (seconds + 1)  # a limit that does not hold would never end here
        else:
            now = window.free_at() + lateness
    return times


@given(limit=st.integers(1, 2000), lateness=st.floats(0.0, 0.01))
def test_no_second_has_more_than_the_limit(limit: int, lateness: float) -> None:
    times = sends(limit, 3.0, lateness)
    # a window as long as a second, but for the last digit of a float
    assert all(late - early >= 1.0 - 1e-9 for early, late in zip(times, times[limit:], strict=False))


@pytest.mark.parametrize("limit", [1, 10, 50, 1000])
def test_the_rate_is_reached_although_timers_are_late(limit: int) -> None:
    assert len(sends(limit, 10.0, lateness=0.001)) >= 9.5 * limit


@pytest.mark.parametrize("limit", [10, 50, 1000])
def test_sends_are_spread_over_the_second(limit: int) -> None:
    times = sends(limit, 3.0)
    for tenth in range(20):
        begun = sum(1000.0 + tenth / 10 <= at < 1000.1 + tenth / 10 for at in times)
        assert begun <= limit * 0.1 + limit * 0.02 + 2


def test_a_new_owner_assumes_a_used_second() -> None:
    assert RateWindow(50, full_since=1000.0).free_at() == 1001.0


@given(before=st.integers(1, 100), after=st.integers(1, 100), sent=st.integers(0, 100))
def test_a_changed_limit_keeps_what_was_sent(before: int, after: int, sent: int) -> None:
    window = RateWindow(before)
    for _ in range(min(sent, before)):
        window.note(1000.0)
    window = window.resized(after)
    if min(sent, before) >= after:
        assert window.free_at() >= 1001.0


def test_an_unused_window_is_always_free() -> None:
    assert RateWindow(5).free_at() <= 0.0
    assert RateWindow(5).resized(3).free_at() <= 0.0


@given(limit=st.integers(1, 5), by=st.integers(-500, 500), sends=st.lists(st.integers(0, 3), max_size=12))
def test_a_clock_that_is_set_moves_the_next_send_with_it(limit: int, by: int, sends: list[int]) -> None:
    stands, moved = RateWindow(limit, full_since=1000.0), RateWindow(limit, full_since=1000.0 - by)
    at = 1000.0
    for wait in sends:
        at += wait
        stands.note(at)
        moved.note(at - by)
    moved.clock_set(by)
    assert moved.free_at() == pytest.approx(stands.free_at())
    # what follows is paced as if the clock had never been otherwise
    for window in (stands, moved):
        window.note(at + 1.5)
    assert moved.free_at() == pytest.approx(stands.free_at())


def test_the_next_send_is_evenly_spaced_minus_the_delay_of_timers() -> None:
    window = RateWindow(4)
    window.note(1000.0)
    assert window.free_at() == pytest.approx(1000.25 - SLACK)
    window.note(1000.24)
    assert window.free_at() == pytest.approx(1000.5 - SLACK)
    window.note(1000.9)  # a late one is where the even places begin again
    assert window.free_at() == pytest.approx(1001.15 - SLACK)
    window.note(1000.95)
    assert window.free_at() == pytest.approx(1001.4 - SLACK)
