"""The completer when the database refuses."""

from __future__ import annotations

import os

from angarium.core.lane import Lane, Limits
from angarium.core.lifecycle import Move
from angarium.core.outcome import AttemptResult
from angarium.dispatch.active_lane import ActiveLane
from angarium.dispatch.completer import Completer, Outcome
from angarium.store.complete import Completion
from tests.kit.completing import written_by
from tests.kit.world import World

ARRIVED = AttemptResult(200, None, None, b"ok", 3)


async def test_a_parked_outcome_does_not_delay_others(world: World) -> None:
    app = await world.application()
    endpoint = await world.endpoint(app, "http://127.0.0.1:9/")
    async with world.intake() as intake:
        await intake.accept_many([world.draft(app) for _ in range(3)])
    rows = await world.fetch("select message_id from delivery order by message_id")
    told: list[Outcome] = []
    completer = Completer(
        world.database,
        world.clock,
        os.urandom,
        lambda batch, due: told.extend(batch),
        lambda *_: None,
    )
    active = ActiveLane(app.id, endpoint.id, endpoint.shard, Lane(Limits(1, 1), 0.0))
    for place, row in enumerate(rows):
        number = 2**31 if place == 1 else 1  # more than the column can hold
        completion = Completion(
            attempt_id=world.new_id(), app_id=app.id, endpoint_id=endpoint.id, message_id=row["message_id"],
            move=Move.DELIVER, failures=0, number=number, due_at=None, manual_at=None, answer=ARRIVED,
            succeeded=True, revision=1,
        )  # fmt: skip
        completer.put(Outcome(active, completion))
    await written_by(completer)
    assert await world.states() == {0: 2, 1: 1}
    assert len(told) == 3, "every lane is notified, so none waits without end"
