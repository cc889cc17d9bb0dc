"""The lane registry keeps idle lanes in memory up to a limit, and never drops one with queued deliveries."""

from __future__ import annotations

from uuid import UUID

import pytest

from angarium.core.lane_queue import QueuedDelivery
from angarium.core.nouns import State
from angarium.dispatch import lane_registry
from angarium.dispatch.lane_registry import IDLE, DispatchLimits, LaneRegistry
from angarium.store.shard import SHARDS
from tests.kit.clock import ManualClock

APP = UUID(int=1)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(lane_registry, "KEPT", 10)
    return 10


def opened(clock: ManualClock, count: int) -> LaneRegistry:
    made = LaneRegistry(clock, DispatchLimits())
    made.owned.update(dict.fromkeys(range(SHARDS), clock.now()))
    for number in range(count):
        made.open(APP, UUID(int=number))
    return made


def known(made: LaneRegistry) -> set[int]:
    return {active.endpoint_id.int for active in made}


async def test_a_few_idle_lanes_are_kept(kept: int) -> None:
    clock = ManualClock()
    made = opened(clock, kept)
    await clock.advance_to(clock.now() + 10 * IDLE)
    made.forget_idle(60.0)
    assert known(made) == set(range(kept))


async def test_idle_lanes_above_the_limit_are_dropped_after_a_minimum_time(kept: int) -> None:
    clock = ManualClock()
    made = opened(clock, kept + 5)
    made.forget_idle(60.0)
    assert len(known(made)) == kept + 5
    await clock.advance_to(clock.now() + IDLE + 1)
    for number in (0, 1, 2):
        made.open(APP, UUID(int=number)).used_at = clock.now()
    made.forget_idle(60.0)
    assert known(made) == {0, 1, 2, *range(8, kept + 5)}


async def test_a_lane_with_queued_deliveries_is_never_dropped(kept: int) -> None:
    clock = ManualClock()
    made = opened(clock, kept + 5)
    now = clock.now()
    queued = QueuedDelivery(UUID(int=99), now, State.PENDING, 0, None, b"{}", "a")
    for number in range(5):
        made.open(APP, UUID(int=number)).lane.arrive(queued, now)
    made.news(made.open(APP, UUID(int=5)), now + IDLE + 30)  # due soon then
    await clock.advance_to(now + IDLE + 1)
    made.forget_idle(60.0)
    assert known(made) == {*range(6), *range(11, kept + 5)}
