"""How often something may be done."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from angarium.service import url_check
from angarium.service.url_check import CheckRate

ONE, OTHER = UUID(int=1), UUID(int=2)


@given(st.lists(st.integers(0, 240), max_size=60))
def test_no_window_ever_holds_more_than_its_limit(eighths: list[int]) -> None:
    rate, now, taken = CheckRate(5, 60.0), 1000.0, []
    for eighth in eighths:
        now += eighth / 8  # which floats hold exactly
        wait = rate.take(ONE, now)
        assert 0 <= wait <= 60
        if not wait:
            taken.append(now)
    for start in taken:
        assert sum(start <= one < start + 60 for one in taken) <= 5


def test_a_check_is_allowed_after_the_time_in_retry_after() -> None:
    rate = CheckRate(1, 60.0)
    assert rate.take(ONE, 0.0) == 0
    wait = rate.take(ONE, 20.0)
    assert wait == 40
    assert rate.take(ONE, 20.0 + wait) == 0


def test_limits_are_separate_by_application_and_memory_is_bounded() -> None:
    rate = CheckRate(1, 60.0)
    assert rate.take(ONE, 0.0) == 0
    assert rate.take(OTHER, 0.0) == 0
    assert rate.take(ONE, 1.0) > 0
    for number in range(3 * url_check.MAX_KNOWN):
        rate.take(UUID(int=number + 10), 2.0)
    assert len(rate._times) <= url_check.MAX_KNOWN
