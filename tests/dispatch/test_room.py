"""Requests in flight are shared: failing and hanging endpoints leave room for those that answer."""

from __future__ import annotations

from uuid import UUID

from angarium.core.lane import Lane, Limits, Send
from angarium.core.lane_queue import QueuedDelivery
from angarium.core.nouns import State
from angarium.dispatch.active_lane import ActiveLane
from angarium.dispatch.room import BUNCH, FAILING_STARTS, RELEASE, Room
from tests.kit.rate import most_in

NOW = 1_800_000_000.0
APP = UUID(int=1)
TOTAL = 64


def active(number: int, *, failing: bool = False, proven: bool = False, owed: int = 100) -> ActiveLane:
    """An active lane with a number of queued deliveries."""
    lane = Lane(Limits(in_flight=64, window=512), NOW - 10)
    made = ActiveLane(APP, UUID(int=number), 0, lane)
    if proven:
        lane.arrive(queued(10**6), NOW)
        assert isinstance(lane.turn(NOW), Send)
        lane.answered(UUID(int=10**6), delivered=True, overload=False, pause=None, now=NOW)
        lane.completed(UUID(int=10**6), None)
    if failing:
        lane.fail()
    for n in range(owed):
        lane.arrive(queued(number * 1000 + n), NOW)
    return made


def queued(number: int, *, test: bool = False) -> QueuedDelivery:
    return QueuedDelivery(UUID(int=number), NOW, State.PENDING, 0, None, b"{}", test=test)


def start(room: Room, one: ActiveLane, now: float = NOW) -> int:
    """Start what the post's lane may, as the dispatcher does; how much it was."""
    started = 0
    while True:
        back = not room.admits(one, now)
        one.admitted = False
        if back and one.lane.free_at() <= now:
            room.wait(one)
        if not isinstance(one.lane.turn(now, held_back=back), Send):
            return started
        room.started(one.lane, now)
        started += 1


def test_failing_endpoints_use_at_most_half_of_the_requests_in_flight() -> None:
    room, now, started = Room(TOTAL), NOW, 0
    for number in range(1000):
        now += 1.0
        started += start(room, active(number, failing=True), now)
    assert started == TOTAL // 2
    assert start(room, active(2000, proven=True), now) > 0


def test_failing_endpoints_together_have_a_limit_of_starts_a_second() -> None:
    room, now, starts = Room(10_000), NOW, []
    lanes = [active(number, failing=True) for number in range(300)]
    while now < NOW + 2:
        now += 0.01
        for one in (*room.woken(now), *lanes):
            starts += [now] * start(room, one, now)
    assert most_in(1.0, starts) <= FAILING_STARTS
    assert len(starts) > 1.8 * FAILING_STARTS


def test_failing_endpoints_that_wait_are_released_together() -> None:
    """Each release wakes the processor, and each lane that is woken takes a turn."""
    room, now, releases, woken, started = Room(10_000), NOW, 0, 0, 0
    for one in (active(number, failing=True, owed=5) for number in range(2000)):
        start(room, one, now)
    while now < NOW + 2:
        now = max(now, room.next_at)
        lanes = room.woken(now)
        assert lanes, "the timer wakes nothing in vain"
        releases += 1
        woken += len(lanes)
        started += sum(start(room, one, now) for one in lanes)
    assert started > 1.8 * FAILING_STARTS
    assert releases <= 1.1 * 2 / RELEASE
    assert woken <= 1.2 * started


def test_the_end_of_a_request_tells_whether_another_lane_may_start() -> None:
    room, now = Room(TOTAL), NOW
    lanes = [active(number, failing=True) for number in range(TOTAL // 2 + 1)]
    for one in lanes:
        now += 1.0
        start(room, one, now)
    assert room.ended(True), "the failing endpoints had all their requests in flight"
    assert not room.ended(True), "the one that waits needs no other end"


def test_failing_endpoints_that_wait_go_in_turn_and_a_test_goes_first() -> None:
    room, now = Room(TOTAL), NOW
    lanes = [active(number, failing=True) for number in range(TOTAL // 2 + 4)]
    for one in lanes:
        now += 1.0
        start(room, one, now)
    last, other = lanes[-1], lanes[-2]
    assert start(room, other, now) == start(room, last, now) == 0
    last.lane.arrive(queued(10**6, test=True), now)
    assert start(room, last, now) == 0
    for _ in range(3):
        room.ended(True)
    woken = room.woken(now + 1)
    assert woken[0] is last
    assert len(woken) == 3
    assert other not in woken
    assert start(room, active(99, failing=True), now + 1) == 0, "those that wait go first"
    assert start(room, last, now + 1) == 1


def test_hanging_endpoints_leave_capacity_for_those_that_respond() -> None:
    room = Room(TOTAL)
    unknown = [active(number) for number in range(100)]
    assert sum(start(room, one) for one in unknown) == TOTAL - TOTAL // 8
    greedy = [active(number, proven=True) for number in range(100, 100 + TOTAL)]
    assert [start(room, one) for one in greedy] == [1] * (TOTAL // 8) + [0] * (TOTAL - TOTAL // 8)
    assert room.full


def test_waiting_lanes_are_woken_when_capacity_is_free() -> None:
    room = Room(TOTAL)
    first, second = active(1), active(2)
    flying = sum(start(room, active(number)) for number in range(10, 10 + TOTAL))
    assert start(room, first) == start(room, second) == 0
    assert room.woken(NOW) == []
    for _ in range(TOTAL // 8):
        room.ended(False)
    woken = room.woken(NOW)
    assert first not in woken  # those that came before
    while not (first in woken and second in woken) and flying:
        room.ended(False)
        flying -= 1
        found = room.woken(NOW)
        assert len(found) <= BUNCH
        woken += found
    assert woken.index(first) < woken.index(second)
    assert start(room, first) > 0


def test_a_clock_that_is_set_back_stops_no_failing_endpoint() -> None:
    room = Room(TOTAL)
    start(room, active(1, failing=True))
    room.clock_set(-3600.0)
    assert start(room, active(2, failing=True), NOW - 3600.0 + 1.0) == 0  # nothing is due by that clock
    assert room.admits(active(3, failing=True), NOW - 3600.0 + 1.0)
