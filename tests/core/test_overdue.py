"""When something that is due and waits may be expected."""

from __future__ import annotations

import pytest

from angarium.core.overdue import ON_TIME, RECENT, STARTS, estimate

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("since", "ahead", "recent", "head", "expected"),
    [
        (1.0, 0, 0, None, 0.0),  # just due, and the first: now
        (1.0, 30, 0, None, 30 / STARTS),  # nothing is known of the endpoint yet
        (600.0, 0, 60, None, 0.0),
        (600.0, 120, 60, None, 120.0),  # one attempt a second
        (600.0, 120, 600, None, 12.0),
        (600.0, 0, 0, None, None),  # no attempt in a minute: it stands still
        (600.0, 3, 0, NOW + 90, 90.0 + 3 / STARTS),  # in order, the first is retried in 90 s
        (600.0, 3, 60, NOW - 90, 3.0),
    ],
)
def test_the_estimate_follows_place_and_rate(
    since: float, ahead: int, recent: int, head: float | None, expected: float | None
) -> None:
    wait = estimate(due_at=NOW - since, ahead=ahead, recent=recent, head_due=head, now=NOW)
    assert wait.ahead == ahead
    assert wait.waiting is (since > ON_TIME)
    if expected is None or wait.expected_at is None:
        assert wait.expected_at is expected
    else:
        assert wait.expected_at - NOW == pytest.approx(expected, abs=0.001)


def test_a_delivery_is_overdue_once_it_is_later_than_usual() -> None:
    def waiting(since: float) -> bool:
        return estimate(due_at=NOW - since, ahead=0, recent=1, head_due=None, now=NOW).waiting

    assert not waiting(ON_TIME)
    assert waiting(ON_TIME + 0.1)


def test_a_minute_without_an_attempt_gives_no_estimate() -> None:
    def told(since: float) -> bool:
        found = estimate(due_at=NOW - since, ahead=0, recent=0, head_due=None, now=NOW)
        return found.expected_at is not None

    assert told(RECENT)
    assert not told(RECENT + 1)
