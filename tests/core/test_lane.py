"""What a lane does at each turn: how many it has in flight, how much it loads, and how long it waits."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest

from angarium.core.allowance import FAILING_IN_FLIGHT, FIRST, MANUAL_EXTRA
from angarium.core.lane import FAILING_WINDOW, PEEK, Lane, Limits, Load, Send, Wait
from angarium.core.lane_queue import FRAME, QueuedDelivery
from angarium.core.nouns import State

NOW = 1_800_000_000.0
WIDE = Limits(in_flight=64, window=128)
STRICT = Limits(in_flight=1, window=8, fifo=True)
ASKED = datetime(2026, 11, 28, tzinfo=UTC)


def queued(number: int, due_at: float = NOW, payload: bytes | None = b"{}") -> QueuedDelivery:
    return QueuedDelivery(UUID(int=number), due_at, State.PENDING, 0, None, payload)


def lane_with(count: int, limits: Limits = WIDE) -> Lane:
    lane = Lane(limits, NOW - 10)
    assert all(lane.arrive(queued(number), NOW) for number in range(count))
    return lane


def sends(lane: Lane, now: float = NOW) -> list[UUID]:
    """What is sent until the lane has another answer."""
    sent = []
    while isinstance(turn := lane.turn(now), Send):
        sent.append(turn.queued.message_id)
    return sent


def answer(lane: Lane, message_id: UUID, *, overload: bool = False, pause: float | None = None) -> None:
    lane.answered(message_id, delivered=not overload, overload=overload, pause=pause, now=NOW)
    lane.completed(message_id, None)


def test_requests_in_flight_grow_with_successes_and_halve_on_overload() -> None:
    lane = lane_with(100)
    flying = sends(lane)
    assert len(flying) == FIRST == 4
    for _ in range(4):  # 8 are allowed
        answer(lane, flying.pop())
        flying += sends(lane)
    assert len(flying) == 8
    answer(lane, flying.pop(), overload=True)  # 4 are, and a round of successes adds one
    for left in (6, 5, 4):
        answer(lane, flying.pop())
        assert sends(lane) == []
        assert len(flying) == left
    answer(lane, flying.pop())
    flying += sends(lane)
    assert len(flying) == 4
    answer(lane, flying.pop())
    flying += sends(lane)
    assert len(flying) == 5


def test_a_new_limit_of_requests_at_once_holds_from_the_next_turn() -> None:
    lane = lane_with(50)
    flying = sends(lane)
    for _ in range(12):
        answer(lane, flying.pop())
        flying += sends(lane)
    assert len(flying) == 16
    lane.reconfigure(Limits(in_flight=2, window=128), NOW)
    while flying:
        answer(lane, flying.pop())
        if len(flying) >= 2:
            assert sends(lane) == []
    assert len(sends(lane)) == 2


def test_a_new_owner_and_a_new_rate_limit_assume_a_used_second() -> None:
    limited = Limits(in_flight=64, window=128, rate=2)
    lane = Lane(limited, NOW)
    assert lane.arrive(queued(1), NOW)
    assert lane.turn(NOW) == Wait(NOW + 1)
    other = lane_with(2)
    other.reconfigure(limited, NOW)
    assert other.turn(NOW) == Wait(NOW + 1)
    other.reconfigure(WIDE, NOW)
    assert len(sends(other)) == 2


def test_a_changed_rate_limit_keeps_what_was_sent() -> None:
    lane = Lane(Limits(in_flight=64, window=128, rate=1), NOW - 10)
    for number in range(3):
        lane.arrive(queued(number), NOW)
    assert len(sends(lane)) == 1
    lane.reconfigure(Limits(in_flight=64, window=128, rate=2), NOW)
    assert len(sends(lane)) == 1
    lane.reconfigure(Limits(in_flight=64, window=128, rate=1), NOW)
    assert lane.turn(NOW) == Wait(NOW + 1)


def test_a_lane_that_becomes_first_in_first_out_reloads() -> None:
    lane = lane_with(3)
    lane.reconfigure(Limits(in_flight=64, window=128, fifo=True), NOW)
    assert (lane.quiet, lane.size) == (True, 0)
    assert lane.turn(NOW) == Load(128)
    lane.loaded([queued(1), queued(0)], None, 128)
    assert sends(lane) == [UUID(int=1)]


def test_a_load_requests_free_room_plus_deliveries_in_memory() -> None:
    lane = lane_with(6, Limits(in_flight=64, window=16))
    assert len(sends(lane)) == 4  # two wait
    lane.hint(NOW)
    assert lane.turn(NOW, 100) == Load(16 - 2 + 6)
    assert lane.loading
    assert lane.turn(NOW) is None  # one at a time
    lane.load_failed()
    assert lane.turn(NOW, 8) == Load(8 - 2 + 6)  # memory is short


def test_a_load_waits_until_three_quarters_of_the_window_are_free() -> None:
    for waiting, loads in ((4, True), (5, False)):
        lane = lane_with(waiting, Limits(in_flight=1, window=16))
        lane.hint(NOW)
        assert len(sends(lane)) == 1
        lane = lane_with(waiting + 1, Limits(in_flight=1, window=16))
        sent = lane.turn(NOW)
        assert isinstance(sent, Send)
        lane.hint(NOW)
        assert isinstance(lane.turn(NOW), Load) is loads


def test_the_memory_of_waiting_deliveries_is_counted() -> None:
    lane = Lane(WIDE, NOW - 10)
    lane.arrive(queued(1, payload=b"12345"), NOW)
    lane.arrive(queued(2, payload=None), NOW)
    assert lane.size == 2 * FRAME + 5
    assert isinstance(lane.turn(NOW), Send)
    assert lane.size == FRAME
    assert isinstance(lane.turn(NOW), Send)
    assert lane.size == 0


def test_an_arrival_is_taken_once_and_only_when_it_is_due() -> None:
    lane = lane_with(1)
    assert not lane.arrive(queued(0), NOW)
    assert not lane.arrive(queued(2, NOW + 5), NOW)
    assert len(sends(lane)) == 1
    assert lane.turn(NOW) == Wait(NOW + 5)
    full = lane_with(2, Limits(in_flight=1, window=2))
    assert not full.arrive(queued(2), NOW)


@pytest.mark.parametrize("last", [False, True])
def test_an_attempt_without_a_result_is_queued_again(last: bool) -> None:
    lane = lane_with(2, Limits(in_flight=1, window=8))
    size = lane.size
    send = lane.turn(NOW)
    assert isinstance(send, Send)
    if last:
        lane.returned(send.queued, NOW, last=True)
    else:
        lane.returned(send.queued, NOW)
    assert lane.size == size
    (again,) = sends(lane)
    assert (again == send.queued.message_id) is not last


def test_an_attempt_without_a_result_is_not_postponed_by_a_clock_that_was_set_back() -> None:
    lane = lane_with(1, Limits(in_flight=1, window=8))
    send = lane.turn(NOW)
    assert isinstance(send, Send)
    lane.returned(send.queued, NOW - 3600)
    assert sends(lane, NOW - 3600) == [send.queued.message_id]


def test_in_strict_order_a_delivery_without_a_result_is_loaded_again() -> None:
    lane = Lane(Limits(in_flight=1, window=8, fifo=True), 0.0)
    lane.hint(NOW)
    assert lane.turn(NOW) == Load(8)
    lane.loaded([queued(0), queued(1)], None, 8)
    send = lane.turn(NOW)
    assert isinstance(send, Send)
    lane.returned(send.queued, NOW, last=True)
    assert lane.quiet
    assert lane.turn(NOW) == Load(8)


def test_a_health_reset_ends_the_pause() -> None:
    lane = lane_with(20)
    flying = sends(lane)
    answer(lane, flying.pop(), pause=60)
    assert lane.turn(NOW) == Wait(NOW + 60)
    lane.renew()
    assert len(sends(lane)) == FIRST - len(flying)


def test_setting_the_clock_keeps_pauses_and_reloads() -> None:
    lane = lane_with(2, Limits(in_flight=1, window=16, rate=1))
    (first,) = sends(lane)
    answer(lane, first, pause=60)
    lane.clock_set(-1000)
    assert lane.wants
    assert lane.turn(NOW - 1000) == Load(16 - 1 + 1)
    lane.loaded([queued(1, NOW - 1000)], None, 16)
    assert lane.turn(NOW - 1000) == Wait(NOW - 940)
    assert sends(lane, NOW - 940) == [UUID(int=1)]


def test_a_lane_is_idle_when_its_state_is_not_needed() -> None:
    def is_idle(now: float) -> bool:
        return lane.idle(now, 5)

    lane = Lane(WIDE, NOW - 10)
    assert is_idle(NOW)
    assert not lane.wants
    lane.hint(NOW + 6)
    assert is_idle(NOW)
    assert not is_idle(NOW + 1)
    lane = lane_with(1)
    (first,) = sends(lane)
    assert not is_idle(NOW)  # in flight
    answer(lane, first, pause=2)
    assert not is_idle(NOW + 1.9)
    assert is_idle(NOW + 2)
    lane = lane_with(1, Limits(in_flight=1, window=4, rate=1))
    answer(lane, *sends(lane))
    assert not is_idle(NOW + 0.9)
    assert is_idle(NOW + 1)
    lane = Lane(WIDE, NOW - 10)
    lane.hint(NOW)
    assert isinstance(lane.turn(NOW), Load)
    assert not is_idle(NOW)  # a load is under way
    lane.load_failed()
    assert not is_idle(NOW)  # and to be asked for again


def brought(number: int, manual_at: datetime | None = None) -> QueuedDelivery:
    """A row of a load."""
    pending = manual_at is None
    return QueuedDelivery(UUID(int=number), NOW, State.PENDING, 0, manual_at, b"{}", pending=pending)


def until_load(lane: Lane, now: float = NOW) -> Load:
    """Deliver what is in memory, one after the other, until the lane loads more."""
    while isinstance(turn := lane.turn(now), Send):
        answer(lane, turn.queued.message_id)
    assert isinstance(turn, Load)
    return turn


def test_a_load_continues_after_deliveries_in_memory() -> None:
    lane = Lane(Limits(in_flight=1, window=4), NOW - 10)
    lane.hint(NOW, since=1)
    assert until_load(lane) == Load(4)
    lane.loaded([brought(number) for number in (1, 2, 3, 5)], None, 4)
    assert until_load(lane) == Load(4, 5)
    lane.loaded([brought(number) for number in (6, 7, 8, 9, 10)], None, 4)  # there is no room for the last
    assert until_load(lane).after == 9


def test_deliveries_left_in_the_table_are_loaded_later() -> None:
    """A manual attempt takes the place of the last one that waits."""
    lane = Lane(Limits(in_flight=1, window=2), NOW - 10)
    lane.hint(NOW, since=1)
    assert until_load(lane) == Load(2)
    lane.loaded([brought(2), brought(3)], None, 2)
    lane.hint(NOW, manual=True)
    turn = lane.turn(NOW + 1, held_back=True)
    assert isinstance(turn, Load)
    assert turn.after == 3
    lane.loaded([brought(1, ASKED)], None, turn.count)
    assert until_load(lane, NOW + 1) == Load(2, 2)


def test_a_message_accepted_by_a_fast_clock_is_loaded_when_due() -> None:
    lane = Lane(WIDE, NOW - 10)
    lane.hint(NOW, since=9)
    lane.turn(NOW)
    lane.loaded([brought(9)], None, 128)
    sends(lane)
    answer(lane, UUID(int=9))
    assert not lane.arrive(queued(5, NOW + 1), NOW)
    turn = lane.turn(NOW + 1)
    assert isinstance(turn, Load)
    assert turn.after == 4


def test_a_load_with_fewer_rows_than_requested_means_nothing_is_left() -> None:
    for brings, behind in ((2, False), (3, False), (4, True)):
        lane = Lane(Limits(in_flight=8, window=4), NOW - 10)
        lane.hint(NOW)
        assert lane.turn(NOW) == Load(4)
        lane.loaded([queued(number) for number in range(brings)], None, 4)
        for number in range(brings):
            assert lane.turn(NOW) == Send(queued(number))
        assert isinstance(lane.turn(NOW), Load) is behind


def test_loading_a_delivery_in_memory_again_changes_nothing() -> None:
    lane = lane_with(3, Limits(in_flight=1, window=16))
    (first,) = sends(lane)
    lane.hint(NOW)
    turn = lane.turn(NOW)
    assert isinstance(turn, Load)
    size = lane.size
    lane.loaded([queued(0), queued(1), queued(2)], None, turn.count)
    assert (lane.size, lane.waiting) == (size, 2)
    answer(lane, first)
    order = []
    while isinstance(turn := lane.turn(NOW), Send):
        order.append(turn.queued.message_id.int)
        answer(lane, turn.queued.message_id)
    assert order == [1, 2]
    assert turn is None, "nothing was asked for again"


def test_a_delivery_that_makes_room_for_its_manual_attempt_is_counted_once() -> None:
    lane = lane_with(4, Limits(in_flight=1, window=16))
    sends(lane)
    size = lane.size
    lane.hint(NOW, manual=True)
    turn = lane.turn(NOW)
    assert isinstance(turn, Load)
    lane.loaded([brought(2, ASKED)], None, turn.count)
    assert (lane.size, lane.waiting, lane.urgent) == (size, 3, True)
    answer(lane, UUID(int=0))
    served = []
    while isinstance(turn := lane.turn(NOW), Send):
        served.append(turn.queued.message_id.int)
        answer(lane, turn.queued.message_id)
    assert served == [2, 1, 3]
    assert turn is None, "the request that was served is not asked for again"


def strict_lane(*rows: QueuedDelivery) -> Lane:
    """A first-in-first-out lane with these deliveries in memory."""
    lane = Lane(STRICT, NOW - 10)
    lane.hint(NOW)
    assert lane.turn(NOW) == Load(8)
    lane.loaded(rows, None, 8)
    return lane


def test_in_strict_order_a_manual_attempt_is_loaded_after_the_attempt_in_flight() -> None:
    lane = strict_lane(queued(0))
    assert sends(lane) == [UUID(int=0)]
    lane.hint(NOW, manual=True)
    turn = lane.turn(NOW)
    assert isinstance(turn, Load)
    lane.loaded([brought(0, ASKED)], None, turn.count)
    assert lane.turn(NOW) is None
    answer(lane, UUID(int=0))
    assert isinstance(lane.turn(NOW), Load)
    lane.loaded([brought(0, ASKED)], None, 8)
    assert sends(lane) == [UUID(int=0)]
    answer(lane, UUID(int=0))
    assert lane.turn(NOW) is None, "once"


def test_a_manual_attempt_of_a_returned_delivery_is_made_once() -> None:
    lane = strict_lane(queued(0))
    send = lane.turn(NOW)
    assert isinstance(send, Send)
    lane.hint(NOW, manual=True)
    turn = lane.turn(NOW)
    assert isinstance(turn, Load)
    lane.loaded([brought(0, ASKED)], None, turn.count)
    lane.returned(send.queued, NOW)
    assert lane.turn(NOW) == Load(8), "nothing is in memory"
    lane.loaded([brought(0, ASKED)], None, 8)
    assert lane.turn(NOW) == Send(brought(0, ASKED))
    answer(lane, UUID(int=0))
    assert lane.turn(NOW) is None


def test_a_manual_attempt_without_a_result_still_comes_first() -> None:
    lane = lane_with(1, Limits(in_flight=1, window=8))
    assert lane.arrive(queued(1), NOW)
    manual = brought(2, ASKED)
    lane.hint(NOW, manual=True)
    turn = lane.turn(NOW, held_back=True)
    assert isinstance(turn, Load)
    lane.loaded([manual], None, turn.count)
    assert lane.turn(NOW) == Send(manual)
    lane.returned(manual, NOW)
    assert lane.urgent
    assert lane.turn(NOW) == Send(manual)


def test_a_health_reset_makes_an_endpoint_unproven() -> None:
    lane = lane_with(1)
    (first,) = sends(lane)
    assert not lane.proven
    answer(lane, first)
    assert lane.proven is True
    lane.renew()
    assert lane.proven is False


def test_the_last_response_decides_whether_an_endpoint_is_proven() -> None:
    lane = lane_with(4)
    one, other, *_ = sends(lane)
    answer(lane, one)
    assert lane.proven is True
    answer(lane, other, overload=True)
    assert lane.proven is False


def test_the_rate_of_a_failing_endpoint_is_kept_when_the_clock_is_set() -> None:
    lane = lane_with(FAILING_WINDOW)
    lane.fail()
    while isinstance(turn := lane.turn(NOW), Send):
        answer(lane, turn.queued.message_id, overload=True)
    assert isinstance(turn, Wait)
    assert NOW < turn.until == lane.free_at()
    lane.clock_set(-1000)
    assert lane.free_at() == pytest.approx(turn.until - 1000, abs=1e-6)


def test_a_lane_in_strict_order_reloads_when_the_clock_is_set() -> None:
    lane = strict_lane(queued(0), queued(1))
    lane.clock_set(-1000)
    assert lane.quiet
    assert lane.turn(NOW - 1000) == Load(8)
    lane.loaded([queued(1, NOW - 1000)], None, 8)
    assert sends(lane, NOW - 1000) == [UUID(int=1)]


def test_manual_attempts_are_loaded_at_once_after_the_clock_is_set_back() -> None:
    lane = lane_with(8, Limits(in_flight=1, window=8))
    sends(lane)
    lane.hint(NOW, manual=True)
    assert isinstance(lane.turn(NOW), Load)
    lane.loaded([], None, 8)
    lane.clock_set(-1000)
    lane.hint(NOW - 1000, manual=True)
    assert isinstance(lane.turn(NOW - 1000), Load)


def test_loading_a_waiting_manual_attempt_again_changes_nothing() -> None:
    lane = lane_with(2, Limits(in_flight=1, window=16))
    sends(lane)
    for _ in range(2):
        lane.hint(NOW, manual=True)
        turn = lane.turn(NOW)
        assert isinstance(turn, Load)
        lane.loaded([brought(2, ASKED)], None, turn.count)
    assert lane.waiting == 2
    answer(lane, UUID(int=0))
    served = []
    while isinstance(turn := lane.turn(NOW), Send):
        served.append(turn.queued.message_id.int)
        answer(lane, turn.queued.message_id)
    assert served == [2, 1]
    assert turn is None


def test_a_load_of_manual_attempts_requests_more_than_are_in_memory() -> None:
    lane = lane_with(16, Limits(in_flight=1, window=16))
    for number in (20, 21):
        lane.hint(NOW, manual=True)
        turn = lane.turn(NOW + number, held_back=True)
        assert turn == Load(PEEK + number - 20)
        lane.loaded([brought(20, ASKED)][: number - 19], None, turn.count)


def test_tests_and_manual_attempts_have_extra_requests_at_a_failing_endpoint() -> None:
    lane = lane_with(FAILING_WINDOW)
    lane.fail()
    now = NOW
    while isinstance(turn := lane.turn(now), Send | Wait):
        now = turn.until if isinstance(turn, Wait) else now
    assert lane.in_flight == FAILING_IN_FLIGHT
    now += 1
    for number in range(MANUAL_EXTRA + 1):
        assert lane.arrive(msgspec.structs.replace(queued(100 + number), test=True), now)
        now += 1
        assert isinstance(lane.turn(now), Send) is (number < MANUAL_EXTRA)


def test_an_arrival_goes_before_a_backlog_only_while_a_quarter_of_the_window_or_less_waits() -> None:
    for waiting in (3, 4, 5):
        lane = lane_with(waiting, Limits(in_flight=1, window=16))
        lane.hint(NOW)
        assert lane.arrive(queued(50), NOW) is (waiting <= 4)


def test_deliveries_that_a_failing_lane_leaves_in_the_table_are_not_overtaken() -> None:
    lane = lane_with(FAILING_WINDOW + 10)
    each = lane.size // (FAILING_WINDOW + 10)
    lane.fail()
    assert lane.size == FAILING_WINDOW * each
    now = NOW
    while not isinstance(turn := lane.turn(now), Load):
        assert turn is not None
        now = turn.until if isinstance(turn, Wait) else now
        if isinstance(turn, Send):
            lane.answered(turn.queued.message_id, delivered=False, overload=True, pause=None, now=now)
            lane.completed(turn.queued.message_id, None)
    assert lane.waiting == FAILING_WINDOW // 4
    assert not lane.arrive(queued(100, now), now)


def test_a_load_above_the_window_is_taken_in_part() -> None:
    """Deliveries arrived during the load; those beyond the limit stay in the table."""
    lane = Lane(Limits(in_flight=1, window=8), NOW - 10)
    lane.hint(NOW)
    assert lane.turn(NOW) == Load(8)
    arrived = [queued(number) for number in range(20, 23)]
    assert all(lane.arrive(one, NOW) for one in arrived)
    rows = [queued(number) for number in range(8)]
    lane.loaded(rows, None, 8)
    assert lane.waiting == 8
    served = []
    while isinstance(turn := lane.turn(NOW), Send):
        served.append(turn.queued)
        answer(lane, turn.queued.message_id)
    assert served == [*arrived, *rows[:5]]
    assert isinstance(turn, Load), "the rest is asked for"
