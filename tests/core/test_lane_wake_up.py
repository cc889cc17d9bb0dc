"""A lane that did not send although it had queued deliveries: bugs, each with its test."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import msgspec

from angarium.core.lane import Lane, Limits, Load, Send, Wait
from angarium.core.lane_queue import QueuedDelivery
from angarium.core.nouns import State

NOW = 1_800_000_000.0


def queued(number: int, due_at: float = NOW) -> QueuedDelivery:
    return QueuedDelivery(UUID(int=number), due_at, State.PENDING, 0, None, b"{}")


def test_a_rate_limited_lane_with_more_due_than_it_holds_says_when_it_may_send_again() -> None:
    """It said nothing while what waited filled more than half of the window, and slept until the next look
    at the table."""
    lane = Lane(Limits(in_flight=64, window=128, rate=50), NOW - 10)
    for number in range(300):
        lane.arrive(queued(number), NOW)
    now, sent = NOW, 0
    while now < NOW + 1:
        match lane.turn(now):
            case Send(one):
                sent += 1
                lane.answered(one.message_id, delivered=True, overload=False, pause=None, now=now)
                lane.completed(one.message_id, None)
            case Wait(until):
                now = until
            case other:
                raise AssertionError(f"the lane sleeps with deliveries in memory: {other}")
    assert sent == 50


def test_a_paused_lane_continues_although_more_is_due() -> None:
    lane = Lane(Limits(in_flight=1, window=4), NOW - 10)
    for number in range(10):
        lane.arrive(queued(number), NOW)
    turn = lane.turn(NOW)
    assert isinstance(turn, Send)
    lane.answered(turn.queued.message_id, delivered=False, overload=True, pause=30, now=NOW)
    lane.completed(turn.queued.message_id, NOW + 60)
    assert lane.turn(NOW) == Wait(NOW + 30)
    assert isinstance(lane.turn(NOW + 30), Send)


def test_a_resend_during_the_completion_of_its_delivery_is_attempted() -> None:
    """The outcome was committed, but the lane did not know yet: the load brought the delivery, the lane took
    it for the one in memory, and slept until the next scan of the table."""
    lane = Lane(Limits(in_flight=4, window=8), NOW - 10)
    first = queued(1)
    lane.arrive(first, NOW)
    assert lane.turn(NOW) == Send(first)
    lane.answered(first.message_id, delivered=True, overload=False, pause=None, now=NOW)
    again = msgspec.structs.replace(
        first, state=State.DELIVERED, manual_at=datetime(2026, 11, 21, tzinfo=UTC)
    )
    lane.hint(NOW)
    turn = lane.turn(NOW)
    assert isinstance(turn, Load)
    lane.loaded([again], None, turn.count)
    lane.completed(first.message_id, None)
    turn = lane.turn(NOW)
    assert isinstance(turn, Load)
    lane.loaded([again], None, turn.count)
    assert lane.turn(NOW) == Send(again)


def test_an_arrival_does_not_overtake_what_is_due_in_the_table() -> None:
    """The lane holds a part of a backlog. What is accepted now was due last, so it waits in the table."""
    lane = Lane(Limits(in_flight=1, window=4), NOW - 10)
    lane.hint(NOW)
    turn = lane.turn(NOW)
    assert isinstance(turn, Load)
    backlog = [queued(number) for number in range(turn.count)]
    lane.loaded(backlog, None, turn.count)
    for one in backlog[:-1]:  # there is room again
        assert lane.turn(NOW) == Send(one)
        lane.answered(one.message_id, delivered=True, overload=False, pause=None, now=NOW)
        lane.completed(one.message_id, None)
    assert not lane.arrive(queued(99), NOW)
    assert lane.turn(NOW) == Send(backlog[-1])
    assert isinstance(lane.turn(NOW), Load)


def test_an_arrival_is_taken_at_once_when_nothing_else_is_due() -> None:
    lane = Lane(Limits(in_flight=1, window=4), NOW - 10)
    assert lane.arrive(queued(1), NOW)
    assert lane.turn(NOW) == Send(queued(1))


def test_a_late_result_of_an_older_generation_does_not_slow_the_lane() -> None:
    """Its URL changed while attempts were in flight: they were refused, and asked for a pause."""
    lane = Lane(Limits(in_flight=64, window=128), NOW - 10)
    for number in range(40):
        lane.arrive(queued(number), NOW)
    for telling in (True, False):
        flying = []
        while isinstance(turn := lane.turn(NOW), Send):
            flying.append(turn.queued.message_id)
        assert flying
        if not telling:
            lane.renew()
        for message_id in flying:
            lane.answered(
                message_id,
                delivered=telling,
                overload=not telling,
                pause=None if telling else 60,
                now=NOW,
                telling=telling,
            )
            lane.completed(message_id, None)
    assert isinstance(lane.turn(NOW), Send)
