"""How long the work of a lane may wait for that of others."""

from __future__ import annotations

from collections import defaultdict
from typing import Any
from uuid import UUID

import pytest

from angarium.core.lane import Lane, Limits
from angarium.core.lane_queue import QueuedDelivery
from angarium.core.nouns import State
from angarium.dispatch.active_lane import PATIENCE, ActiveLane
from angarium.dispatch.completer import Completer
from angarium.dispatch.loader import Loader
from angarium.dispatch.ready_queue import ReadyQueue
from tests.kit.patience import until
from tests.kit.port import free_port
from tests.kit.receiver import Receiver
from tests.kit.world import World, product

NOW = 1000.0


def test_only_a_failing_endpoint_waits_and_not_with_a_test() -> None:
    lane = Lane(Limits(4, 32), 0.0)
    active = ActiveLane(UUID(int=1), UUID(int=2), 0, lane)
    assert active.patience == 0.0
    lane.fail()
    assert active.patience == PATIENCE
    assert lane.arrive(QueuedDelivery(UUID(int=3), NOW, State.PENDING, 0, None, b"{}", test=True), NOW)
    assert active.patience == 0.0
    lane.turn(NOW)
    assert active.patience == PATIENCE
    lane.answered(UUID(int=3), delivered=True, overload=False, pause=None, now=NOW)
    assert active.patience == 0.0


async def test_loads_outcomes_and_timers_of_a_failing_endpoint_wait_for_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, want, wait = Completer.put, Loader.want, ReadyQueue.wait
    outcomes: defaultdict[UUID, set[float]] = defaultdict(set)
    loads: defaultdict[UUID, set[float]] = defaultdict(set)
    timers: defaultdict[UUID, list[float]] = defaultdict(list)

    def noted_put(self: Completer, outcome: Any, *, patience: float = 0.0) -> None:
        outcomes[outcome.active.endpoint_id].add(patience)
        put(self, outcome, patience=patience)

    def noted_want(self: Loader, wanted: Any, *, patience: float = 0.0) -> None:
        loads[wanted.endpoint_id].add(patience)
        want(self, wanted, patience=patience)

    def noted_wait(self: ReadyQueue, active: ActiveLane, at: float) -> None:
        timers[active.endpoint_id].append(at)
        wait(self, active, at)

    monkeypatch.setattr(Completer, "put", noted_put)
    monkeypatch.setattr(Loader, "want", noted_want)
    monkeypatch.setattr(ReadyQueue, "wait", noted_wait)
    async with Receiver() as receiver:
        app = await world.application()
        dead = await world.endpoint(app, f"http://127.0.0.1:{free_port()}/")
        healthy = await world.endpoint(app, receiver.url)
        await world.fetch(
            "insert into endpoint_health (app_id, endpoint_id, failing_since, failures)"
            " values ($1, $2, now(), 50)",
            app.id,
            dead.id,
        )
        async with world.intake() as intake:  # not handed over, so they are loaded
            await intake.accept(world.draft(app))
        async with world.dispatching(product(retries="60ms,60ms,1h")):
            await receiver.wait_for(1)
            await until(lambda: len(timers[dead.id]) >= 3 and loads[healthy.id])
    assert outcomes == {dead.id: {PATIENCE}, healthy.id: {0.0}}
    assert loads[dead.id] == {PATIENCE}
    assert loads[healthy.id] == {0.0}
    assert all(abs(at / PATIENCE - round(at / PATIENCE)) < 1e-3 for at in timers[dead.id])
