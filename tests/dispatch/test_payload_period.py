"""A payload that expires while its delivery waits in memory is not sent."""

from __future__ import annotations

from typing import Final

import pytest

from angarium.clock import SystemClock
from angarium.dispatch.lane_registry import DispatchLimits
from angarium.store.database import Database
from tests.kit.patience import until
from tests.kit.receiver import Held, Receiver
from tests.kit.world import World

DELIVERED, CANCELED = 0, 4
HOUR: Final = 3600.0


class MovedClock(SystemClock):
    """The host's time, as far ahead as the test says."""

    ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead


@pytest.mark.parametrize("loaded", [False, True], ids=["handed over", "loaded"])
async def test_a_payload_that_expires_in_memory_is_not_sent(database: Database, loaded: bool) -> None:
    clock = MovedClock()
    world = World(database, clock=clock)
    app = await world.application()
    answer = Held()
    async with Receiver() as receiver:
        receiver.default = answer
        await world.endpoint(app, receiver.url)

        async def accept() -> None:
            async with world.intake(None if loaded else dispatcher.hand_over) as intake:
                await intake.accept(world.draft(app, b"1"))
                await intake.accept(world.draft(app, b"2", retention=HOUR))

        policy = DispatchLimits(in_flight=1, in_flight_total=1)
        dispatching = world.dispatching(policy=policy)
        if loaded:
            await accept()
        async with dispatching as dispatcher:
            if not loaded:
                await accept()
            await receiver.wait_for(1)

            async def the_other_waits() -> bool:
                return sum(active.lane.waiting for active in dispatcher._registry) == 1

            await until(the_other_waits)
            clock.ahead = 3 * HOUR
            answer.release.set()
            await world.until_states({DELIVERED: 1, CANCELED: 1})
        assert [request.body for request in receiver.requests] == [b"1"]
