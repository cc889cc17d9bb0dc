"""How many attempts at an endpoint failed in a row: beside edits of it, and before they are settled."""

from __future__ import annotations

import pytest

from angarium.clock import SystemClock
from angarium.core.nouns import Application, Endpoint
from angarium.dispatch.dispatcher import Dispatcher
from angarium.service.intake import Intake
from angarium.store.database import Database
from angarium.store.hint import Forgiven, Hint, changed
from angarium.store.settle import hint
from tests.kit.patience import until
from tests.kit.receiver import Held, Receiver, Reply
from tests.kit.stand import standing
from tests.kit.world import World, product

PATIENT = product("60s")  # no retry comes while a test lasts


async def failures(world: World) -> int:
    rows = await world.fetch("select failures from endpoint_health")
    return rows[0][0] if rows else 0


async def until_failures(world: World, count: int) -> None:
    async def noted() -> bool:
        return await failures(world) == count

    await until(noted)


async def attempt(world: World, app: Application, intake: Intake, receiver: Receiver) -> str:
    """A message and its first attempt; the path it came to."""
    made = receiver.count
    await intake.accept(world.draft(app))
    return (await receiver.wait_for(made + 1))[made].path


async def moved(world: World, endpoint: Endpoint, url: str) -> None:
    """The customer edits the endpoint."""
    async with world.database.transaction() as connection:
        await connection.execute(
            "update endpoint set url = $1, revision = revision + 1 where id = $2", url, endpoint.id
        )
        await hint(connection, [changed(endpoint.id)])


@pytest.mark.parametrize("last", [200, 500])
async def test_an_edit_changes_nothing_of_what_is_not_settled_yet(world: World, last: int) -> None:
    app = await world.application()
    async with (
        Receiver() as receiver,
        world.dispatching(PATIENT) as dispatcher,
        world.intake(dispatcher.hand_over) as intake,
    ):
        receiver.default = Reply(500)
        endpoint = await world.endpoint(app, receiver.url)
        for _ in range(3):
            await attempt(world, app, intake, receiver)
        await until_failures(world, 3)
        async with world.database.transaction() as somebody:
            await somebody.execute("lock table attempt in share mode")  # nothing is settled meanwhile
            receiver.plan(Reply(last))
            await attempt(world, app, intake, receiver)
            await moved(world, endpoint, f"{receiver.url}/elsewhere")
            more = 1
            while not (await attempt(world, app, intake, receiver)).endswith("/elsewhere"):
                more += 1
            assert await failures(world) == 3
        await until_failures(world, more if last == 200 else 3 + 1 + more)


async def test_an_endpoint_that_is_enabled_again_begins_anew(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, hinted = Held(Reply(500)), Dispatcher.hinted

    def hears(dispatcher: Dispatcher, hint: Hint) -> None:
        hinted(dispatcher, hint)
        if isinstance(hint, Forgiven):
            answer.release.set()

    monkeypatch.setattr(Dispatcher, "hinted", hears)
    async with Receiver() as receiver, standing(database, PATIENT, clock=SystemClock()) as stand:
        receiver.default = Reply(500)
        endpoint = await stand.endpoint(receiver.url)
        for _ in range(3):
            await stand.send("a.b")
        await until_failures(stand.world, 3)
        receiver.plan(answer)
        await stand.send("a.b")
        await receiver.wait_for(4)
        for disabled in (True, False):
            await stand.native("PATCH", f"/endpoint/{endpoint}", {"disabled": disabled})
        await stand.until_attempts(4)
        assert await failures(stand.world) == 0, "what began before does not count"
        await stand.send("a.b")
        await until_failures(stand.world, 1)
        assert receiver.count == 5
