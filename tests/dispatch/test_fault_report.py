"""The faults of a process as the others see them, through the database."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any
from uuid import UUID

import pytest

from angarium.core.failure import KINDS
from angarium.core.lane import Lane, Limits
from angarium.dispatch.active_lane import ActiveLane
from angarium.dispatch.fault_report import NOTE, FaultReport
from angarium.dispatch.outages import Outages
from angarium.service.health import DatabaseHealth
from angarium.store import our_fault
from angarium.store.our_fault import STALE, FaultRow, HeldLane
from tests.dispatch.test_outages import Turns
from tests.kit.clock import ManualClock
from tests.kit.world import World

RESOLVER, INTERNAL = KINDS["resolver_down"], KINDS["internal"]
NOW = 1_800_000_000.0


class Process:
    """The faults of one process, and its report."""

    def __init__(self, world: World, name: str) -> None:
        turns: Any = Turns()
        self.clock = world.clock
        self.outages = Outages(turns, world.clock, name)
        self.report = FaultReport(world.database, world.clock, self.outages, name)


@pytest.fixture
def clock(world: World) -> ManualClock:
    world.clock = made = ManualClock(NOW)
    return made


@pytest.fixture
def registry(clock: ManualClock) -> Iterator[ActiveLane]:
    def owing(number: int) -> ActiveLane:
        lane = Lane(Limits(1, 1), 0.0)
        lane.hint(NOW)  # so that it has a reason to wait
        return ActiveLane(UUID(int=1), UUID(int=number), 0, lane)

    return map(owing, count(2))


async def queued(world: World) -> set[tuple[UUID, str, str]]:
    return {tuple(row) for row in await world.fetch("select endpoint_id, process, code from held_lane")}


async def seen(world: World) -> list[FaultRow]:
    return await DatabaseHealth(world.database, world.clock, ()).faults()


async def test_others_see_each_fault_with_its_lanes_as_long_as_it_lasts(
    world: World, clock: ManualClock, registry: Iterator[ActiveLane]
) -> None:
    one, two = Process(world, "one"), Process(world, "two")
    first, second, alone, elsewhere = (next(registry) for _ in range(4))
    one.outages.failed(first, RESOLVER, None)
    one.outages.failed(second, RESOLVER, None)
    one.outages.failed(alone, INTERNAL, None)
    two.outages.failed(elsewhere, RESOLVER, None)
    for process in (one, two):
        await process.report._write()
    assert set(await seen(world)) == {
        FaultRow("one", "resolver_down", NOW, 2),
        FaultRow("one", "internal", NOW, 1),
        FaultRow("two", "resolver_down", NOW, 1),
    }
    assert await queued(world) == {
        (first.endpoint_id, "one", "resolver_down"),
        (second.endpoint_id, "one", "resolver_down"),
        (alone.endpoint_id, "one", "internal"),
        (elsewhere.endpoint_id, "two", "resolver_down"),
    }
    second.closed = True
    fault = next(fault for fault in one.outages.faults if fault.kind is INTERNAL)
    one.outages.passed(fault)
    await one.report._write()
    assert set(await seen(world)) == {
        FaultRow("one", "resolver_down", NOW, 1),
        FaultRow("two", "resolver_down", NOW, 1),
    }
    await one.report.stop()
    assert await queued(world) == {(elsewhere.endpoint_id, "two", "resolver_down")}


async def test_a_lane_is_reported_with_its_latest_fault(
    world: World, clock: ManualClock, registry: Iterator[ActiveLane]
) -> None:
    process, active, other = Process(world, "one"), next(registry), next(registry)
    process.outages.failed(active, RESOLVER, None)
    process.outages.failed(other, RESOLVER, None)
    await process.report._write()
    process.outages.failed(active, INTERNAL, None)
    await process.report._write()
    assert await queued(world) == {
        (active.endpoint_id, "one", "internal"),
        (other.endpoint_id, "one", "resolver_down"),
    }
    process.outages.failed(other, INTERNAL, None)
    await process.report._write()
    assert {code for _, _, code in await queued(world)} == {"internal"}
    assert [row.code for row in await seen(world)] == ["internal"]


async def test_a_lasting_fault_is_written_again_and_nothing_else(
    world: World, clock: ManualClock, registry: Iterator[ActiveLane], monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    note = our_fault.note

    async def counted(*arguments: Any) -> None:
        written.append(arguments)
        await note(*arguments)

    monkeypatch.setattr(our_fault, "note", counted)
    process = Process(world, "one")
    process.outages.failed(next(registry), RESOLVER, None)
    for _ in range(3):
        await process.report._write()
    assert len(written) == 1
    await clock.advance_to(NOW + NOTE)
    await process.report._write()
    assert len(written) == 2
    await clock.advance_to(NOW + STALE + 5)
    assert await seen(world) == [FaultRow("one", "resolver_down", NOW, 1)]


async def test_the_fault_of_a_process_that_has_ended_is_ignored(
    world: World, clock: ManualClock, registry: Iterator[ActiveLane]
) -> None:
    process = Process(world, "one")
    process.outages.failed(next(registry), RESOLVER, None)
    await process.report._write()
    await clock.advance_to(NOW + STALE + 0.1)
    assert await seen(world) == []


async def test_a_lane_can_be_written_twice_and_released_alone(world: World, clock: ManualClock) -> None:
    async with world.database.connection() as connection:
        await our_fault.note(connection, "one", [FaultRow("one", "internal", NOW, 2)], NOW)
        lanes = [HeldLane(UUID(int=n), "internal", NOW) for n in range(2)]
        await our_fault.hold(connection, "one", lanes)
        await our_fault.hold(connection, "one", lanes)
        await our_fault.release(connection, "one", [UUID(int=0)])
    assert await queued(world) == {(UUID(int=1), "one", "internal")}
