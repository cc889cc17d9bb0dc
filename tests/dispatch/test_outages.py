"""Lanes held by a fault on our side: when each may have a turn, and what releases them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any
from uuid import UUID

import pytest

from angarium.core.failure import KINDS
from angarium.core.lane import Lane, Limits
from angarium.core.outage import FIRST, PATIENCE
from angarium.dispatch.active_lane import ActiveLane
from angarium.dispatch.outages import Outages
from tests.kit.clock import ManualClock

NETWORK, INTERNAL = KINDS["network_down"], KINDS["internal"]


class Turns:
    """The posts of a dispatcher, as far as turns are given: now, or at a time."""

    def __init__(self) -> None:
        self.ready_queue = self
        self.marked: list[ActiveLane] = []
        self.waiting: list[tuple[ActiveLane, float]] = []

    def mark(self, active: ActiveLane) -> None:
        self.marked.append(active)

    def wait(self, active: ActiveLane, until: float) -> None:
        self.waiting.append((active, until))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def turns() -> Turns:
    return Turns()


@pytest.fixture
def outages(turns: Any, clock: ManualClock) -> Outages:
    return Outages(turns, clock)


@pytest.fixture
def lanes() -> Iterator[ActiveLane]:
    return (ActiveLane(UUID(int=1), UUID(int=n), 0, Lane(Limits(1, 1), 0.0)) for n in count(2))


async def test_a_lane_with_a_fault_waits_and_others_continue(
    outages: Outages, turns: Turns, clock: ManualClock, lanes: Iterator[ActiveLane]
) -> None:
    failed, other = next(lanes), next(lanes)
    outages.failed(failed, NETWORK, None)
    assert not outages.admits(failed)
    assert turns.waiting == [(failed, clock.now() + FIRST)], "it gets its turn when the pause is over"
    assert outages.admits(other)
    assert outages.probe(other) is None


async def test_lanes_of_a_fault_share_one_probe(
    outages: Outages, clock: ManualClock, lanes: Iterator[ActiveLane]
) -> None:
    one, two = next(lanes), next(lanes)
    for active in (one, two):
        outages.failed(active, NETWORK, None)
    await clock.advance_to(clock.now() + FIRST)
    assert outages.admits(one)
    probe = outages.probe(one)
    assert not outages.admits(two)
    outages.failed(one, NETWORK, probe)
    await clock.advance_to(clock.now() + FIRST)
    assert not outages.admits(two), "the pause grows"
    await clock.advance_to(clock.now() + FIRST)
    assert outages.admits(two)


async def test_another_probe_starts_when_the_first_takes_long(
    outages: Outages, clock: ManualClock, lanes: Iterator[ActiveLane]
) -> None:
    one, two = next(lanes), next(lanes)
    for active in (one, two):
        outages.failed(active, NETWORK, None)
    await clock.advance_to(clock.now() + FIRST)
    outages.probe(one)
    await clock.advance_to(clock.now() + PATIENCE)
    assert outages.admits(two)


async def test_a_probe_that_passes_releases_all_lanes(
    outages: Outages, turns: Turns, clock: ManualClock, lanes: Iterator[ActiveLane]
) -> None:
    one, two, alone = next(lanes), next(lanes), next(lanes)
    for active in (one, two):
        outages.failed(active, NETWORK, None)
    outages.failed(alone, INTERNAL, None)
    await clock.advance_to(clock.now() + FIRST)
    probe = outages.probe(one)
    assert probe is not None
    outages.passed(probe)
    assert turns.marked == [one, two]
    assert outages.admits(one)
    assert outages.admits(two)
    assert [fault.kind for fault in outages.faults] == [], "nothing waits in a lane that is empty"


async def test_a_bug_affects_only_its_own_lane(
    outages: Outages, turns: Turns, clock: ManualClock, lanes: Iterator[ActiveLane]
) -> None:
    one, two = next(lanes), next(lanes)
    for active in (one, two):
        outages.failed(active, INTERNAL, None)
    await clock.advance_to(clock.now() + FIRST)
    probe = outages.probe(one)
    assert probe is not None
    assert outages.admits(two)
    outages.passed(probe)
    assert turns.marked == [one]
