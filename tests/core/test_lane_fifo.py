"""How far a first-in-first-out lane has read what was never attempted, by the order of acceptance.

Message ids run against that order here, so what goes by them is found out.
"""

from __future__ import annotations

from uuid import UUID

import pytest

from angarium.core.lane import Lane, Limits, Load, Send
from angarium.core.lane_queue import QueuedDelivery
from angarium.core.nouns import State
from angarium.core.read_position import FIRST, LAST, SLACK, START

NOW = 1_800_000_000.0
FREE = Limits(in_flight=1, window=4)
FIFO = Limits(in_flight=1, window=4, fifo=True)
EARLIER = 10 * SLACK  # places that were given before those of these tests


def place(number: int) -> int:
    return EARLIER + number


def behind(number: int) -> int:
    """From where a lane reads on that has read up to this one."""
    return place(number) - SLACK


def message(number: int) -> UUID:
    return UUID(int=10**9 - number)


def row(number: int) -> QueuedDelivery:
    """One that was never attempted."""
    return QueuedDelivery(
        message(number), NOW, State.PENDING, 0, None, b"{}", pending=True, seq=place(number)
    )


def retry(number: int) -> QueuedDelivery:
    """One that failed before."""
    return QueuedDelivery(message(number), NOW, State.PENDING, 1, None, b"{}", attempts=1, seq=place(number))


def placeless(number: int) -> QueuedDelivery:
    """One with the place before all others."""
    return QueuedDelivery(UUID(int=number), NOW, State.PENDING, 0, None, b"{}", pending=True, seq=FIRST)


def new_lane(limits: Limits = FIFO) -> Lane:
    lane = Lane(limits, NOW - 10)
    lane.hint(NOW)
    return lane


def asked(lane: Lane) -> Load:
    turn = lane.turn(NOW)
    assert isinstance(turn, Load), turn
    return turn


def load(lane: Lane, *rows: QueuedDelivery, next_due: float | None = None) -> Load:
    """What the lane asks for, and that it comes."""
    turn = asked(lane)
    lane.loaded(rows, next_due, turn.count)
    return turn


def send(lane: Lane) -> QueuedDelivery:
    turn = lane.turn(NOW)
    assert isinstance(turn, Send), turn
    return turn.queued


def answer(
    lane: Lane, queued: QueuedDelivery, *, due_at: float | None = None, delivered: bool = True
) -> None:
    lane.answered(queued.message_id, delivered=delivered, overload=not delivered, pause=None, now=NOW)
    lane.completed(queued.message_id, due_at)


def deliver(lane: Lane) -> list[int]:
    """Deliver all that waits; gives the numbers."""
    served = []
    while lane.waiting:
        queued = send(lane)
        served.append(queued.seq - EARLIER)
        answer(lane, queued)
    return served


def lane_at(number: int) -> Lane:
    """One that has delivered all up to this one, and has nothing to do."""
    lane = new_lane()
    assert load(lane, row(number)).after == START
    assert deliver(lane) == [number]
    assert lane.turn(NOW) is None
    return lane


def test_a_load_continues_after_deliveries_in_memory() -> None:
    lane = new_lane()
    assert load(lane, *map(row, (1, 2, 3, 5))) == Load(4, START)
    assert deliver(lane) == [1, 2, 3, 5]
    assert load(lane, *map(row, (6, 7, 8, 9, 10))) == Load(4, behind(5))  # there is no room for the last
    assert deliver(lane) == [6, 7, 8, 9]
    assert load(lane, row(10)) == Load(4, behind(9))


def test_a_later_message_does_not_reset_the_lane() -> None:
    lane = lane_at(5)
    lane.hint(NOW, since=lane.place(message(6), place(6)))
    assert asked(lane).after == behind(5)


@pytest.mark.parametrize("since", [5, 3, 1, -3 * SLACK])
def test_a_message_that_commits_late_is_loaded(since: int) -> None:
    lane = lane_at(5)
    lane.hint(NOW, since=place(since))
    assert asked(lane).after == behind(since - 1)


def test_a_late_commit_without_a_hint_precedes_newer_messages() -> None:
    lane = lane_at(5)
    lane.hint(NOW, since=place(7))
    assert asked(lane).after < place(4)


def test_an_arrival_is_loaded_from_its_place() -> None:
    lane = lane_at(5)
    assert not lane.arrive(row(3), NOW)
    assert asked(lane).after == behind(2)


def test_a_load_does_not_skip_messages_committed_during_it() -> None:
    lane = lane_at(2)
    lane.hint(NOW, since=place(6))
    turn = asked(lane)
    lane.hint(NOW, since=place(4))
    lane.loaded([row(6)], None, turn.count)
    assert deliver(lane) == [6]
    assert load(lane, row(4)) == Load(4, behind(3))
    assert deliver(lane) == [4]
    assert lane.turn(NOW) is None


def test_a_load_from_after_a_late_commit_is_ignored() -> None:
    lane = lane_at(5)
    late = -2 * SLACK
    lane.hint(NOW, since=place(7))
    turn = asked(lane)
    lane.hint(NOW, since=place(late))
    lane.loaded([row(7)], None, turn.count)
    assert not lane.waiting
    assert load(lane, row(late), row(7)).after == behind(late - 1)
    assert deliver(lane) == [late, 7]


def test_a_hint_about_a_delivery_in_memory_sends_nothing_twice() -> None:
    """Others see a commit before the process that made it hears of it."""
    lane = lane_at(2)
    lane.hint(NOW, since=place(3))
    load(lane, row(3), row(4))
    first = send(lane)
    lane.hint(NOW, since=place(3))
    assert load(lane, row(3), row(4)) == Load(4 - 1 + 2, behind(2)), "there is room for those that come again"
    answer(lane, first)
    assert deliver(lane) == [4]
    assert lane.turn(NOW) is None


@pytest.mark.parametrize(("apart", "again"), [(1, 4), (SLACK // 2, 2), (3 * SLACK, 1)])
def test_a_load_has_room_for_uncompleted_deliveries_that_load_again(apart: int, again: int) -> None:
    lane = new_lane()
    numbers = [number * apart for number in (1, 2, 3, 4)]
    load(lane, *map(row, numbers))
    for _ in numbers:
        lane.answered(send(lane).message_id, delivered=True, overload=False, pause=None, now=NOW)
    assert load(lane, *map(row, numbers[-again:])) == Load(4 + again, behind(4 * apart))
    assert lane.turn(NOW) is None


def test_a_late_commit_is_loaded_before_the_loaded_deliveries_complete() -> None:
    lane = lane_at(2)
    lane.hint(NOW, since=place(6))
    load(lane, row(6))
    queued = send(lane)
    lane.hint(NOW, since=place(4))
    assert load(lane, row(4), row(6)) == Load(4 + 1, behind(3))
    answer(lane, queued)
    assert deliver(lane) == [4]


def test_deliveries_at_place_zero_load_from_the_start_until_a_later_place() -> None:
    lane = new_lane()
    owed = [placeless(number) for number in range(1, 10)]
    while owed:
        assert load(lane, *owed[:4]).after == START
        while lane.waiting:
            queued = send(lane)
            owed.remove(queued)
            answer(lane, queued)
    lane.hint(NOW, since=place(7))
    assert load(lane, row(7)).after == START
    deliver(lane)
    lane.hint(NOW, since=place(8))
    assert asked(lane).after == behind(7)


def test_uncompleted_deliveries_at_place_zero_cause_no_useless_load() -> None:
    lane = new_lane()
    rows = [placeless(number) for number in (1, 2, 3, 4)]
    load(lane, *rows)
    for _ in rows:
        lane.answered(send(lane).message_id, delivered=True, overload=False, pause=None, now=NOW)
    assert load(lane, *rows) == Load(4 + 4, START)
    assert lane.turn(NOW) is None


def test_a_delivery_at_place_zero_resets_the_lane_to_the_start() -> None:
    lane = lane_at(5)
    lane.reorder()
    assert load(lane, placeless(1), row(6)).after == START
    assert deliver(lane) == [FIRST - EARLIER, 6]


CHANGES = pytest.mark.parametrize(("before", "after"), [(FREE, FIFO), (FIFO, FREE), (FIFO, FIFO)])


@CHANGES
def test_a_change_of_order_resets_the_lane_to_the_start(before: Limits, after: Limits) -> None:
    """One that was free for a moment has the place before all others for what is queued."""
    lane = new_lane(before)
    load(lane, row(5), row(6))
    assert deliver(lane) == [5, 6]
    lane.reconfigure(after, NOW)
    assert asked(lane).after == START


@CHANGES
def test_a_load_in_the_former_order_is_ignored(before: Limits, after: Limits) -> None:
    lane = new_lane(before)
    turn = asked(lane)
    lane.reconfigure(after, NOW)
    lane.loaded([row(5)], None, turn.count)
    assert not lane.waiting
    assert asked(lane).after == START


def test_a_failed_head_resets_the_lane_to_the_waiting_deliveries() -> None:
    """What is before that is done, and an old snapshot may keep much of it."""
    lane = lane_at(5)
    lane.hint(NOW, since=place(6))
    load(lane, *map(row, (6, 7, 8)))
    answer(lane, send(lane), delivered=False, due_at=NOW)
    assert load(lane, retry(6), row(7), row(8)) == Load(4, behind(6))
    assert deliver(lane) == [6, 7, 8]
    assert lane.turn(NOW) is None


def test_a_failed_head_alone_does_not_reset_the_lane() -> None:
    lane = lane_at(5)
    lane.hint(NOW, since=place(6))
    load(lane, row(6))
    answer(lane, send(lane), delivered=False, due_at=NOW + 5)
    assert asked(lane).after == behind(6)


def test_a_resend_does_not_reset_the_lane() -> None:
    """It is among what is attempted again, which is read as a whole."""
    lane = lane_at(5)
    lane.hint(NOW, manual=True)
    assert asked(lane).after == behind(5)


def test_a_failed_delivery_is_loaded_again() -> None:
    lane = lane_at(5)
    lane.hint(NOW, since=place(6))
    load(lane, row(6), row(7))
    lane.returned(send(lane), NOW)
    assert load(lane, row(6), row(7)).after == behind(5)
    assert deliver(lane) == [6, 7]


def test_a_scheduled_delivery_takes_its_place_when_due() -> None:
    lane = lane_at(5)
    lane.hint(NOW, since=place(6))
    load(lane, row(7), row(8), next_due=NOW)
    assert load(lane, retry(6), row(7), row(8)) == Load(4, behind(6))
    assert deliver(lane) == [6, 7, 8]


def test_deliveries_that_a_failing_lane_leaves_in_the_table_are_loaded_later() -> None:
    lane = new_lane(Limits(in_flight=1, window=40, fifo=True))
    load(lane, *map(row, range(1, 41)))
    lane.fail()
    assert lane.waiting == 32
    lane.reconfigure(Limits(in_flight=1, window=40, rate=100, fifo=True), NOW - 10)
    turn = load(lane, *map(row, range(1, 33)))
    assert turn.after == START
    assert lane.waiting == 32


def test_deliveries_left_in_the_table_are_not_overtaken_by_a_running_load() -> None:
    """Also where the places of an endpoint with few messages are far apart."""
    lane = new_lane(Limits(in_flight=1, window=200, fifo=True))
    numbers = [number * SLACK for number in range(1, 52)]
    load(lane, *map(row, numbers[:50]))
    lane.hint(NOW, since=place(numbers[50]))
    queued = send(lane)
    turn = asked(lane)
    lane.fail()
    answer(lane, queued)
    send(lane)
    assert lane.waiting == 31
    lane.loaded([row(numbers[50])], None, turn.count)
    assert lane.waiting == 31


def test_a_failed_load_is_repeated_from_the_same_place() -> None:
    lane = lane_at(5)
    lane.hint(NOW, since=place(4))
    before = asked(lane)
    lane.load_failed()
    assert asked(lane) == before


def test_setting_the_clock_resets_the_lane_to_the_start() -> None:
    lane = lane_at(5)
    lane.clock_set(0.0)
    assert asked(lane).after == START


def test_a_place_is_that_of_the_order_in_which_the_lane_reads() -> None:
    assert Lane(FREE, NOW).place(message(7), place(7)) == message(7).int
    assert Lane(FIFO, NOW).place(message(7), place(7)) == place(7)
    for limits in (FREE, FIFO):
        assert Lane(limits, NOW).place(UUID(int=LAST), LAST) == LAST
