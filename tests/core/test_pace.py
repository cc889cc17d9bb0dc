"""Starts are spread at the rate, whatever the process does in between."""

from __future__ import annotations

import pytest

from angarium.core.pace import BURST, Pace


def starts(pace: Pace, rate: float, begin: float, seconds: float) -> int:
    """How many start, if as many as may do, by a clock of milliseconds."""
    count = 0
    for step in range(round(seconds * 1000)):
        while pace.admits(rate, begin + step / 1000):
            pace.started()
            count += 1
    return count


@pytest.mark.parametrize("rate", [0.5, 4, 50, 1000])
def test_as_many_start_as_the_rate_allows(rate: float) -> None:
    assert starts(Pace(0.0), rate, 0.0, 10.0) == pytest.approx(10 * rate, abs=1)


def test_what_was_not_used_is_not_saved_up() -> None:
    pace = Pace(0.0)
    assert pace.admits(50, 3600.0)
    assert starts(pace, 50, 3600.0, 1.0) <= 50 + 50 * BURST + 1


def test_the_wait_is_over_when_the_next_may_start() -> None:
    pace = Pace(0.0)
    assert not pace.admits(4, 0.1)
    wait = pace.wait(4)
    assert wait == pytest.approx(0.15)
    assert pace.admits(4, 0.1 + wait + 1e-9)


def test_a_process_without_shards_has_no_share() -> None:
    pace = Pace(0.0)
    assert not pace.admits(0, 100.0)
    assert pace.wait(0) == BURST
