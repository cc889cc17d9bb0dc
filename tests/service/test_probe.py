"""How often something may be done."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from angarium.service import probe
from angarium.service.probe import Pace

ONE, OTHER = UUID(int=1), UUID(int=2)


@given(st.lists(st.integers(0, 240), max_size=60))
def test_no_window_ever_holds_more_than_its_limit(eighths: list[int]) -> None:
    pace, now, taken = Pace(5, 60.0), 1000.0, []
    for eighth in eighths:
        now += eighth / 8  # which floats hold exactly
        wait = pace.take(ONE, now)
        assert 0 <= wait <= 60
        if not wait:
            taken.append(now)
    for start in taken:
        assert sum(start <= one < start + 60 for one in taken) <= 5


def test_what_was_told_to_wait_may_go_on_after_that_time() -> None:
    pace = Pace(1, 60.0)
    assert pace.take(ONE, 0.0) == 0
    wait = pace.take(ONE, 20.0)
    assert wait == 40
    assert pace.take(ONE, 20.0 + wait) == 0


def test_one_application_does_not_use_up_anothers_and_memory_has_an_end() -> None:
    pace = Pace(1, 60.0)
    assert pace.take(ONE, 0.0) == 0
    assert pace.take(OTHER, 0.0) == 0
    assert pace.take(ONE, 1.0) > 0
    for number in range(3 * probe.MAX_KNOWN):
        pace.take(UUID(int=number + 10), 2.0)
    assert len(pace._times) <= probe.MAX_KNOWN
