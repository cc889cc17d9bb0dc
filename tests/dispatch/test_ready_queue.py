"""Healthy lanes take turns before thousands of failing ones, which still get their share."""

from __future__ import annotations

from uuid import UUID

from angarium.core.lane import Lane, Limits
from angarium.core.lane_queue import QueuedDelivery
from angarium.core.nouns import State
from angarium.dispatch.active_lane import ActiveLane
from angarium.dispatch.ready_queue import OTHERS_FIRST, ReadyQueue

NOW = 1_800_000_000.0


def active(number: int, *, failing: bool = False) -> ActiveLane:
    lane = Lane(Limits(4, 32), 0.0)
    if failing:
        lane.fail()
    return ActiveLane(UUID(int=1), UUID(int=number), 0, lane)


def ready(*lanes: ActiveLane) -> ReadyQueue:
    queue = ReadyQueue()
    for one in lanes:
        queue.mark(one)
    return queue


def test_a_healthy_lane_waits_for_one_turn_of_failing_lanes_at_most() -> None:
    queue, healthy = ready(*(active(n, failing=True) for n in range(1000))), active(2000)
    waited = []
    for _ in range(50):
        queue.mark(healthy)
        turns = 0
        while queue.next() is not healthy:
            turns += 1
        waited.append(turns)
    assert max(waited) == 1


def test_failing_lanes_get_a_turn_for_every_few_of_others() -> None:
    queue, healthy, failing = ReadyQueue(), [active(n) for n in range(10)], active(99, failing=True)
    queue.mark(failing)
    taken: list[ActiveLane] = []
    while failing not in taken and len(taken) < 100:
        for one in healthy:
            queue.mark(one)
        taken.append(queue.next())
    assert len(taken) == OTHERS_FIRST + 1


def test_all_ready_lanes_get_their_turn_in_order() -> None:
    lanes = [active(n) for n in range(20)]
    queue = ready(*lanes, *lanes)
    assert [queue.next() for _ in lanes] == lanes
    assert not queue


def test_failing_lanes_are_taken_when_no_other_is_ready() -> None:
    lanes = [active(n, failing=True) for n in range(20)]
    queue = ready(*lanes)
    assert [queue.next() for _ in lanes] == lanes
    assert not queue


def test_a_failing_lane_with_a_test_is_among_the_healthy_ones() -> None:
    queue, urgent = ready(*(active(n, failing=True) for n in range(10))), active(99, failing=True)
    assert urgent.lane.arrive(QueuedDelivery(UUID(int=3), NOW, State.PENDING, 0, None, b"{}", test=True), NOW)
    queue.mark(urgent)
    assert queue.next() is urgent
