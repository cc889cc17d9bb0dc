"""Why an attempt starts late: what held its lane, and since when the delay is ours."""

from __future__ import annotations

import pytest

from angarium.core.allowance import FAILING_IN_FLIGHT, FAILING_STARTS, FIRST
from angarium.core.hold import Held, Hold
from angarium.core.lane import Lane, Limits
from angarium.core.rate import SLACK
from tests.core.test_lane import NOW, STRICT, answer, lane_with, queued, sends

BY_ANSWER = (Held.CONCURRENCY, Held.FAILING, Held.ORDER)
BY_TIME = (Held.RATE, Held.PAUSE)


def test_every_delay_of_a_lane_that_nothing_held_is_ours() -> None:
    hold = Hold()
    assert hold.lateness(NOW, NOW + 3.0) == (Held.NO, 3.0)
    assert hold.lateness(NOW, NOW - 3.0) == (Held.NO, 0.0), "a start before its time is not late"
    hold.sent()
    hold.answered(NOW + 2.0)
    assert hold.lateness(NOW, NOW + 3.0) == (Held.NO, 3.0)


@pytest.mark.parametrize("reason", BY_TIME)
def test_the_delay_after_the_end_of_a_hold_is_ours(reason: Held) -> None:
    hold = Hold()
    hold.note(reason, NOW + 5.0)
    assert hold.lateness(NOW, NOW + 7.0) == (reason, 2.0)
    assert hold.lateness(NOW, NOW + 5.0) == (reason, 0.0)
    assert hold.lateness(NOW, NOW + 4.0) == (reason, 0.0), "a send may be a little early"


@pytest.mark.parametrize("reason", BY_TIME)
def test_an_answer_does_not_end_a_hold_that_time_ends(reason: Held) -> None:
    hold = Hold()
    hold.note(reason, NOW + 5.0)
    hold.answered(NOW + 9.0)
    assert hold.lateness(NOW, NOW + 9.0) == (reason, 4.0)


@pytest.mark.parametrize("reason", BY_ANSWER)
def test_a_hold_for_an_answer_lasts_until_the_answer(reason: Held) -> None:
    hold = Hold()
    hold.note(reason, NOW)
    hold.answered(NOW + 9.0)
    assert hold.lateness(NOW, NOW + 10.0) == (reason, 1.0)
    hold.answered(NOW + 4.0)  # the clock was set back meanwhile
    assert hold.lateness(NOW, NOW + 10.0) == (reason, 1.0)


def test_an_answer_after_a_send_does_not_prolong_a_hold_that_is_over() -> None:
    hold = Hold()
    hold.note(Held.CONCURRENCY, NOW)
    hold.sent()
    hold.answered(NOW + 9.0)
    assert hold.lateness(NOW - 1.0, NOW + 10.0) == (Held.CONCURRENCY, 10.0)
    hold.note(Held.CONCURRENCY, NOW + 11.0)  # held again
    hold.answered(NOW + 12.0)
    assert hold.lateness(NOW, NOW + 12.5) == (Held.CONCURRENCY, 0.5)


def test_a_hold_that_ended_before_a_delivery_was_due_says_nothing_about_it() -> None:
    hold = Hold()
    hold.note(Held.RATE, NOW)
    assert hold.lateness(NOW, NOW + 2.0) == (Held.RATE, 2.0)
    assert hold.lateness(NOW + 0.5, NOW + 2.0) == (Held.NO, 1.5)


def test_a_newer_reason_replaces_an_older_one() -> None:
    hold = Hold()
    hold.note(Held.PAUSE, NOW + 60.0)
    hold.note(Held.RATE, NOW + 1.0)
    assert hold.lateness(NOW, NOW + 3.0) == (Held.RATE, 2.0)


def test_times_move_with_the_clock() -> None:
    hold = Hold()
    hold.note(Held.RATE, NOW)
    hold.clock_set(100.0)
    assert hold.lateness(NOW + 100.0, NOW + 103.0) == (Held.RATE, 3.0)
    hold.clock_set(-100.0)
    assert hold.lateness(NOW, NOW + 3.0) == (Held.RATE, 3.0)


# what a lane notes


def late(lane: Lane, now: float, due_at: float = NOW) -> tuple[Held, float]:
    held, seconds = lane.lateness(due_at, now)
    return held, round(seconds, 6)


def test_a_lane_whose_requests_are_all_in_flight_is_held_until_one_ends() -> None:
    lane = lane_with(FIRST + 1)
    flying = sends(lane)
    assert len(flying) == FIRST
    lane.answered(flying[0], delivered=True, overload=False, pause=None, now=NOW + 6.0)
    assert late(lane, NOW + 6.5) == (Held.CONCURRENCY, 0.5)


def test_an_answer_to_a_lane_that_has_sent_since_is_not_the_end_of_its_hold() -> None:
    lane = lane_with(FIRST + 1)
    first, second, *_ = sends(lane)
    lane.answered(first, delivered=True, overload=False, pause=None, now=NOW + 1.0)
    assert len(sends(lane, NOW + 1.0)) == 1
    lane.answered(second, delivered=True, overload=False, pause=None, now=NOW + 3.0)
    assert late(lane, NOW + 4.0, NOW + 2.0) == (Held.NO, 2.0)


def test_a_failing_lane_is_held_until_its_starts_a_second_allow_another() -> None:
    lane = lane_with(2)
    lane.fail()
    assert len(sends(lane)) == 1
    free_at = NOW + 1 / FAILING_STARTS - SLACK
    assert late(lane, free_at + 0.1) == (Held.FAILING, 0.1)


def test_a_lane_in_order_is_held_by_the_delivery_before() -> None:
    lane = Lane(STRICT, NOW - 10)
    lane.turn(NOW)  # the first load
    lane.loaded([queued(1), queued(2)], None, 8)
    (first,) = sends(lane)
    lane.answered(first, delivered=True, overload=False, pause=None, now=NOW + 6.0)
    assert late(lane, NOW + 6.5) == (Held.ORDER, 0.5)


def test_a_lane_is_held_until_the_end_of_the_pause_that_its_receiver_asks_for() -> None:
    lane = lane_with(FIRST + 1)
    flying = sends(lane)
    answer(lane, flying[0], pause=30.0)
    assert sends(lane) == []
    assert late(lane, NOW + 31.0) == (Held.PAUSE, 1.0)


def test_a_lane_is_held_by_its_rate_limit() -> None:
    lane = Lane(Limits(in_flight=64, window=128, rate=1), NOW - 10)
    for number in range(2):
        lane.arrive(queued(number), NOW)
    assert len(sends(lane)) == 1
    assert late(lane, NOW + 1.25) == (Held.RATE, 0.25)


def test_a_failing_lane_is_held_by_its_slots_and_by_its_starts() -> None:
    lane = lane_with(FAILING_IN_FLIGHT + 2, Limits(in_flight=64, window=512))
    lane.fail()
    now, flying = NOW, 0
    while flying < FAILING_IN_FLIGHT:
        flying += len(sends(lane, now))
        now += 1 / FAILING_STARTS
    assert sends(lane, now) == []
    lane.answered(queued(0).message_id, delivered=False, overload=True, pause=None, now=now + 5.0)
    assert late(lane, now + 5.5) == (Held.FAILING, 0.5)


def test_a_failing_lane_that_its_process_holds_back_is_held_and_a_healthy_one_is_late_because_of_us() -> None:
    """`held_back`: failing endpoints of a process share its room, and other lanes wait for the process."""
    failing, healthy = lane_with(1), lane_with(1)
    failing.fail()
    for lane in (failing, healthy):
        lane.turn(NOW + 4.0, held_back=True)
    assert late(failing, NOW + 5.0) == (Held.FAILING, 1.0)
    assert late(healthy, NOW + 5.0) == (Held.NO, 5.0)


def test_a_lane_without_a_due_delivery_is_not_held() -> None:
    lane = lane_with(FIRST)
    assert len(sends(lane)) == FIRST  # as many as may be in flight, and nothing waits
    answer(lane, queued(0).message_id)
    lane.arrive(queued(50, NOW + 7.0), NOW)
    assert late(lane, NOW + 9.0, NOW + 7.0) == (Held.NO, 2.0)


def test_a_lane_that_is_full_notes_nothing_before_the_next_delivery_is_due() -> None:
    lane = lane_with(FIRST)
    sends(lane)
    lane.arrive(queued(50, NOW + 7.0), NOW)
    assert sends(lane) == []
    answer(lane, queued(0).message_id)
    assert late(lane, NOW + 9.0, NOW + 7.0) == (Held.NO, 2.0)
    assert late(lane, NOW + 9.0, NOW - 1.0) == (Held.NO, 10.0)


def test_a_setting_of_the_clock_moves_what_a_lane_noted() -> None:
    lane = Lane(Limits(in_flight=64, window=128, rate=1), NOW - 10)
    for number in range(2):
        lane.arrive(queued(number), NOW)
    sends(lane)
    lane.clock_set(50.0)
    assert late(lane, NOW + 51.25, NOW + 50.0) == (Held.RATE, 0.25)


def test_every_reason_is_tested_here() -> None:
    assert set(Held) == {Held.NO, *BY_ANSWER, *BY_TIME}
