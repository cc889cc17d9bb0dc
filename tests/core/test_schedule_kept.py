"""A dead endpoint in virtual time: every attempt starts on time, up to a number of messages an hour.

`python -m bench.lateness` prints the whole table, with more than fits here.
"""

from __future__ import annotations

import itertools

import pytest

from angarium.core.allowance import FAILING_IN_FLIGHT, FAILING_STARTS, MANUAL_EXTRA
from angarium.core.lane import FAILING_WINDOW
from angarium.core.schedule import Schedule, parse_schedule
from tests.kit.lateness import HOUR, START, DeadEndpoint, Row
from tests.kit.rate import most_in

HANGS = 15.0  # seconds, the timeout
REFUSES = 0.05
ON_TIME = 5.0
SHORT = Schedule(parse_schedule("5s,1m,2m,3m,4m,5m,6m"), 0.2)
"""As many attempts as by the default schedule, but so soon that half an hour sees all of them."""


def test_of_100_messages_an_hour_to_an_endpoint_that_hangs_every_attempt_starts_on_time() -> None:
    """For two days; after the first, each message of the 28 hours before may have a retry."""
    dead = DeadEndpoint(HANGS)
    dead.accept_at_random(100, 48)
    dead.run(48)
    assert len(dead.late) > 30_000
    assert max(dead.late) < ON_TIME
    assert dead.most_in_flight <= FAILING_IN_FLIGHT


def test_of_10_000_messages_an_hour_to_an_endpoint_that_refuses_every_attempt_starts_on_time() -> None:
    dead = DeadEndpoint(REFUSES, SHORT)
    dead.accept_at_random(10_000, 0.75)
    dead.run(0.75)
    assert len(dead.late) > 40_000
    assert max(dead.late) < ON_TIME
    assert most_in(1.0, dead.starts) <= FAILING_STARTS + 4  # before it was known to fail


def test_above_that_load_attempts_are_late_but_in_order() -> None:
    dead = DeadEndpoint(HANGS, SHORT)
    dead.accept_at_random(2000, 1)
    dead.run(1)
    assert max(dead.late) > 10 * ON_TIME
    assert dead.overdue > 100
    due = [start - late for start, late in zip(dead.starts, dead.late, strict=True)]
    behind = max(before - after for before, after in itertools.pairwise(due))
    assert behind < 1.0, "overtaken by what was due later"


def test_a_waiting_lane_uses_little_memory_and_loads_rarely() -> None:
    dead = DeadEndpoint(HANGS, SHORT)
    dead.accept_at_random(2000, 1)
    dead.run(1)
    assert dead.most_waiting <= FAILING_WINDOW
    assert dead.lane.waiting <= FAILING_WINDOW
    assert dead.loads < len(dead.starts) / 4


def test_manual_attempts_come_before_waiting_deliveries() -> None:
    """Also when all slots of the schedule hang, and the lane holds as many deliveries as it may."""
    dead = DeadEndpoint(HANGS, SHORT)
    dead.accept_at_random(2000, 1)

    def last_due(rows: list[Row]) -> Row:
        return max((row for row in rows if row.manual_at is None), key=lambda row: row.due_at)

    for number in range(20):
        dead.resend_at(HOUR / 2 + 60.0 * number, last_due)
    dead.run(1)
    assert len(dead.late_manual) == 20
    assert max(dead.late_manual) < ON_TIME
    assert dead.late_by(0.5) > 10 * ON_TIME  # what passed others was asked for, not lucky
    assert dead.most_in_flight <= FAILING_IN_FLIGHT + MANUAL_EXTRA


def test_many_manual_requests_cost_few_reads() -> None:
    dead = DeadEndpoint(HANGS, SHORT)
    dead.accept_at_random(2000, 0.5)
    dead.run(0.5)
    loads = dead.loads
    for number in range(600):
        dead.resend_at(
            HOUR / 2 + 0.1 * number, lambda rows: rows[0] if rows[0].manual_at is None else rows[-1]
        )
    dead.run(0.5 + 61 / HOUR)
    assert dead.loads - loads < 90


@pytest.mark.parametrize("rate", [None, 50])
def test_the_first_success_releases_waiting_deliveries_at_the_rate_limit(rate: int | None) -> None:
    dead = DeadEndpoint(HANGS, SHORT, rate=rate, alive_from=HOUR)
    dead.accept_at_random(2000, 1)
    dead.run(1)
    waiting = dead.overdue
    assert waiting > 500
    dead.took = 0.05
    dead.run(1 + (60 + (waiting / rate if rate else 0)) / HOUR)
    assert dead.overdue <= 0
    if rate:
        released = [start for start in dead.starts if start > START + HOUR + HANGS + 2]
        assert most_in(1.0, released) <= rate
        assert len([start for start in released if start < released[0] + 10]) >= 9 * rate


def test_an_endpoint_that_hangs_every_other_time_gets_its_attempts_on_time() -> None:
    """It does not fail every time, so its number in flight shrinks, but not below a start a second."""
    dead = DeadEndpoint(HANGS, flaky=0.5)
    dead.accept_at_random(100, 30)
    dead.run(30)
    assert max(dead.late) < ON_TIME
