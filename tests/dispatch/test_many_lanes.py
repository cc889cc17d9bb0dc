"""Ten thousand lanes with work do not block the event loop: they are processed a few at a time."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

from angarium.clock import SystemClock
from angarium.core.keyring import Keyring
from angarium.core.lane import Wait
from angarium.dispatch.lane_registry import DispatchLimits, LaneRegistry
from angarium.dispatch.load_handler import HANDFUL, LoadHandler
from angarium.store.load import LaneRef

LANES = 10_000


async def test_a_scan_of_all_lanes_yields_after_a_few() -> None:
    """Counts lanes, not time: those that are processed between two turns of the event loop."""
    clock = SystemClock()
    registry = LaneRegistry(clock, DispatchLimits())
    registry.owned.update(dict.fromkeys(range(64), 0.0))
    handler = LoadHandler(registry, clock, {}, Keyring([b"k" * 32]))
    lanes = [LaneRef(UUID(int=1), uuid4(), clock.now() + 30, False, None) for _ in range(LANES)]
    most = before = 0

    async def watch() -> None:
        nonlocal most, before
        while True:
            taken = sum(1 for _ in registry)
            most, before = max(most, taken - before), taken
            await asyncio.sleep(0)

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    await handler.seen(lanes, 60.0)
    await asyncio.sleep(0)
    watching.cancel()
    assert before == LANES
    assert most <= 2 * HANDFUL


async def test_a_lane_that_becomes_ready_waits_for_a_few_only() -> None:
    """Lanes are marked a few at a time, and each burst of turns ends before the next are."""
    clock = SystemClock()
    registry = LaneRegistry(clock, DispatchLimits())
    registry.owned.update(dict.fromkeys(range(64), 0.0))
    handler = LoadHandler(registry, clock, {}, Keyring([b"k" * 32]))
    lanes = [LaneRef(UUID(int=1), uuid4(), clock.now() + 30, False, None) for _ in range(LANES)]
    most = 0

    async def turns() -> None:
        nonlocal most
        while True:
            taken = 0
            while registry.ready_queue:
                active = registry.ready_queue.next()
                turn = active.lane.turn(clock.now())
                assert isinstance(turn, Wait), "nothing is due"
                registry.ready_queue.wait(active, turn.until)
                taken += 1
            most = max(most, taken)
            await asyncio.sleep(0)

    going_round = asyncio.create_task(turns())
    await handler.seen(lanes, 60.0)
    await asyncio.sleep(0)
    going_round.cancel()
    assert 0 < most <= 2 * HANDFUL
