"""A message that is committed after others that were accepted later is sent as soon as its lane hears of it.

The lane has read past its place by then, by more than it reads once more with each load. The looks at all
lanes that would find it are far away.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from typing import Any

import pytest

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.nouns import Application
from angarium.core.read_position import SLACK, START
from angarium.dispatch import backlog_poller
from angarium.dispatch.notifier import Notifier
from angarium.store import accept, load
from angarium.store.connection import Connection
from angarium.store.hint import LaneWork, Work
from angarium.store.load import Wanted
from tests.kit.patience import until
from tests.kit.receiver import Receiver
from tests.kit.world import World

DELIVERED = 0
FAR = 3600.0  # seconds
EARLY, LATER = b'{"n":1}', b'{"n":2}'


@pytest.fixture(autouse=True)
def looks_are_far_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog_poller, "EVERY", FAR)
    monkeypatch.setattr(backlog_poller, "LONGEST", FAR)


def item(world: World, app: Application) -> accept.Item:
    now = world.clock.now()
    return accept.Item(
        id=world.new_id(), org_id=app.org_id, app=ids.text(ids.APPLICATION, app.id), event_type="a.b",
        payload=EARLY, event_id=None, channels=(), tags=(), expires_at=datetime_at(now) + timedelta(hours=1),
        key=None, endpoint_id=None, due_at=now,
    )  # fmt: skip


@pytest.mark.parametrize("fifo", [False, True], ids=["free", "fifo"])
@pytest.mark.parametrize(
    "told", ["its own process", "another process", "slices of a large message", "a look at all lanes"]
)
async def test_a_message_that_commits_late_is_sent_after_a_hint_from(
    world: World, monkeypatch: pytest.MonkeyPatch, told: str, fifo: bool
) -> None:
    app = await world.application()
    async with Receiver() as receiver, world.intake() as intake, AsyncExitStack() as stack:
        await world.endpoint(app, receiver.url, fifo=fifo)
        connection = await stack.enter_async_context(world.database.transaction())
        with monkeypatch.context() as room:
            if told == "slices of a large message":
                room.setattr(accept, "BASE", 0)
                room.setattr(accept, "EACH", 0)
            _, owed = await accept.accept(connection, [item(world, app)], world.clock.now())
        assert bool(owed) is (told != "slices of a large message")
        await world.fetch("select setval('acceptance', nextval('acceptance') + $1)", 2 * SLACK)
        await intake.accept(world.draft(app, LATER))
        async with world.dispatching() as dispatcher:
            await world.until_states({DELIVERED: 1})
            await stack.aclose()  # commits
            if told == "its own process":
                dispatcher.hand_over(owed, world.clock.now())
            elif told == "another process":
                notifier = Notifier(world.database)
                await notifier.start()
                notifier.tell(owed)
                await until(lambda: len(receiver.requests) == 2)
                await notifier.stop()
            elif told == "slices of a large message":
                dispatcher.fan_out()
            else:
                dispatcher._backlog_poller.look()
            await until(lambda: [request.body for request in receiver.requests] == [LATER, EARLY])


@pytest.mark.parametrize("fifo", [False, True], ids=["free", "fifo"])
async def test_a_busy_lane_continues_after_its_read_position(
    world: World, monkeypatch: pytest.MonkeyPatch, fifo: bool
) -> None:
    asked: list[Wanted] = []
    question = load.load

    async def noted(connection: Connection, wanted: Sequence[Wanted], now: datetime) -> Any:
        asked.extend(wanted)
        return await question(connection, wanted, now)

    monkeypatch.setattr(load, "load", noted)
    app = await world.application()
    async with Receiver() as receiver, world.intake() as intake:
        endpoint = await world.endpoint(app, receiver.url, fifo=fifo)
        await world.fetch("select setval('acceptance', $1)", 5 * SLACK)
        await intake.accept(world.draft(app, EARLY))
        ((message_id, seq),) = await world.fetch("select message_id, seq from pending")
        async with world.dispatching() as dispatcher:
            await world.until_states({DELIVERED: 1})
            dispatcher.hinted(Work((LaneWork(app.id, endpoint.id),)))
            await until(lambda: any(one.after > START for one in asked))
            assert asked[0].after == START
            assert max(one.after for one in asked) == (seq - SLACK if fifo else message_id.int)
