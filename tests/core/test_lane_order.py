"""In which order a free lane sends: by due time, tests and manual attempts first; nothing is lost over it."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import msgspec

from angarium.core.allowance import THRESHOLD
from angarium.core.lane import FAILING_WINDOW, Lane, Limits, Load, Send
from angarium.core.lane_queue import QueuedDelivery
from angarium.core.nouns import State

NOW = 1_800_000_000.0
ASKED = datetime(2026, 11, 21, tzinfo=UTC)
WIDE = Limits(in_flight=64, window=128)


def queued(number: int, due_at: float = NOW, *, manual: bool = False, test: bool = False) -> QueuedDelivery:
    return QueuedDelivery(
        UUID(int=number), due_at, State.PENDING, 0, ASKED if manual else None, b"{}", test=test
    )


def lane_that_asked(limits: Limits = WIDE) -> tuple[Lane, int]:
    """One with a load under way, and how many rows it asked for."""
    lane = Lane(limits, NOW - 10)
    lane.hint(NOW)
    turn = lane.turn(NOW)
    assert isinstance(turn, Load)
    return lane, turn.count


def sends(lane: Lane) -> list[int]:
    """What is sent, one after the other, until the lane has another answer."""
    sent = []
    while isinstance(turn := lane.turn(NOW), Send):
        sent.append(turn.queued.message_id.int)
        lane.answered(turn.queued.message_id, delivered=True, overload=False, pause=None, now=NOW)
        lane.completed(turn.queued.message_id, None)
    return sent


def test_manual_attempts_go_before_what_was_due_earlier_and_a_test_before_them() -> None:
    lane, asked = lane_that_asked()
    lane.loaded(
        [queued(3, manual=True), queued(4, manual=True), queued(1, NOW - 9), queued(2, NOW - 8)], None, asked
    )
    assert lane.arrive(queued(5, test=True), NOW)
    assert lane.urgent
    assert sends(lane) == [5, 3, 4, 1, 2]
    assert not lane.urgent


def test_loaded_deliveries_are_ordered_by_due_time() -> None:
    lane, asked = lane_that_asked()
    for number in (1, 2):
        assert lane.arrive(queued(number, NOW - 1), NOW)
    lane.loaded([queued(3, NOW - 5), queued(4, NOW - 3)], None, asked)
    assert sends(lane) == [3, 4, 1, 2]


def test_an_arrival_stays_in_the_table_while_a_full_lane_has_earlier_deliveries() -> None:
    lane = Lane(Limits(in_flight=1, window=16), NOW - 10)
    for number in range(5):
        assert lane.arrive(queued(number), NOW)
    assert lane.arrive(queued(5), NOW)
    lane.hint(NOW)  # a retry is due now
    assert not lane.arrive(queued(6), NOW)
    assert lane.arrive(queued(7, test=True), NOW)  # goes first whatever waits


def test_a_manual_attempt_replaces_the_waiting_scheduled_one() -> None:
    lane, asked = lane_that_asked()
    lane.loaded([queued(1, NOW - 2), queued(2, NOW - 1)], None, asked)
    size = lane.size
    lane.hint(NOW, manual=True)
    lane._in_flight = 64  # nothing can be sent
    turn = lane.turn(NOW)
    assert isinstance(turn, Load)
    lane.loaded([queued(2, manual=True), queued(1, NOW - 2)], None, turn.count)
    assert lane.size == size
    lane._in_flight = 0
    assert sends(lane) == [2, 1]


def test_deliveries_left_in_the_table_during_a_load_are_loaded_later() -> None:
    """It was accepted after the load had read, and the endpoint began to fail before the load was there."""
    lane, asked = lane_that_asked(Limits(in_flight=64, window=512))
    for number in range(FAILING_WINDOW + 10):
        assert lane.arrive(queued(number), NOW)
    lane.fail()
    assert lane.waiting == FAILING_WINDOW
    lane.loaded([], None, asked)
    left = set(range(FAILING_WINDOW + 10))
    now = NOW
    while left:
        now += 1.0
        match lane.turn(now):
            case Send(one):
                left.remove(one.message_id.int)
                lane.answered(one.message_id, delivered=True, overload=False, pause=None, now=now)
                lane.completed(one.message_id, None)
            case Load(count):
                lane.loaded([queued(number) for number in sorted(left)][:count], None, count)
            case other:
                raise AssertionError(f"asleep, and {len(left)} are queued: {other}")


def test_a_failing_lane_above_its_limit_keeps_the_earliest_deliveries() -> None:
    lane = Lane(WIDE, NOW - 10)
    for number in range(100):
        assert lane.arrive(queued(number), NOW)
    flying = []
    for _ in range(THRESHOLD):
        turn = lane.turn(NOW)
        assert isinstance(turn, Send)
        flying.append(turn.queued.message_id.int)
        lane.answered(turn.queued.message_id, delivered=False, overload=True, pause=None, now=NOW)
    assert lane.failing
    assert lane.waiting == FAILING_WINDOW
    first = lane.turn(NOW + 1)
    assert first == Send(msgspec.structs.replace(queued(len(flying))))


def test_a_delivery_that_is_loaded_before_it_arrives_is_sent_once() -> None:
    """Others see a commit before the process that made it hears of it."""
    lane, asked = lane_that_asked()
    brought = msgspec.structs.replace(queued(1), pending=True)
    lane.loaded([brought], None, asked)
    assert sends(lane) == [1]
    assert not lane.arrive(brought, NOW)
    turn = lane.turn(NOW)
    assert isinstance(turn, Load), "the table is asked"
    lane.loaded([], None, turn.count)
    assert sends(lane) == []


def test_a_message_committed_after_its_place_was_read_is_sent() -> None:
    lane, asked = lane_that_asked()
    lane.loaded([msgspec.structs.replace(queued(2), pending=True)], None, asked)
    assert sends(lane) == [2]
    late = msgspec.structs.replace(queued(1), pending=True)
    assert not lane.arrive(late, NOW)
    turn = lane.turn(NOW)
    assert isinstance(turn, Load)
    assert turn.after < late.message_id.int
    lane.loaded([late], None, turn.count)
    assert sends(lane) == [1]
    assert lane.arrive(queued(3), NOW), "what is accepted later needs no load"
