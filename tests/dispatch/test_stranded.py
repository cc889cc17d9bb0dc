"""A message that commits after its endpoint was disabled or deleted is canceled, and does not stay
pending."""

from __future__ import annotations

from datetime import timedelta

import pytest

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.nouns import Application
from angarium.dispatch import backlog_poller
from angarium.store import accept, background_task, requeue
from angarium.store.cancel import cancel_stranded
from angarium.store.target import find_target
from tests.kit.patience import until
from tests.kit.receiver import Receiver
from tests.kit.world import World

DELIVERED, PENDING, CANCELED = 0, 1, 4

DISABLE = "update endpoint set disabled_at = now(), disabled_reason = 'manual' where id = $1"
DELETE = "update endpoint set deleted_at = now() where id = $1"
DELETE_APPLICATION = (
    "update application set deleted_at = now() where id = (select app_id from endpoint where id = $1)"
)
ENABLE = "update endpoint set disabled_at = null, disabled_reason = null where id = $1"


def item(world: World, app: Application, due_in: float = 0.0) -> accept.Item:
    now = world.clock.now()
    return accept.Item(
        id=world.new_id(), org_id=app.org_id, app=ids.text(ids.APPLICATION, app.id), event_type="a.b",
        payload=b"{}", event_id=None, channels=(), tags=(), expires_at=datetime_at(now) + timedelta(hours=1),
        key=None, endpoint_id=None, due_at=now + due_in,
    )  # fmt: skip


@pytest.mark.parametrize("fifo", [False, True])
@pytest.mark.parametrize("change", [DISABLE, DELETE, DELETE_APPLICATION])
async def test_a_delivery_of_an_inactive_endpoint_is_canceled(
    world: World, monkeypatch: pytest.MonkeyPatch, change: str, fifo: bool
) -> None:
    monkeypatch.setattr(backlog_poller, "EVERY", 0.1)
    monkeypatch.setattr(backlog_poller, "SLICE", 2)
    app = await world.application()
    async with Receiver() as receiver, world.dispatching() as dispatcher:
        endpoint = await world.endpoint(app, receiver.url, fifo=fifo)
        now = world.clock.now()
        async with world.database.transaction() as late:
            items = [item(world, app) for _ in range(5)] + [item(world, app, 0.5)]
            _, owed = await accept.accept(late, items, now)
            async with world.database.transaction() as connection:
                await connection.execute(change, endpoint.id)
                task_id = world.new_id()
                await background_task.cancel_queued(connection, task_id, app.org_id, app.id, endpoint.id, now)
        dispatcher.hand_over(owed, world.clock.now())
        await world.until_states({CANCELED: 6})
        assert receiver.requests == []
        assert await world.fetch("select from pending") == []
        assert await world.fetch("select from retry") == []


async def test_a_manual_attempt_at_a_disabled_endpoint_still_waits(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog_poller, "EVERY", 0.1)
    app = await world.application()
    async with Receiver() as receiver, world.intake() as intake:
        endpoint = await world.endpoint(app, receiver.url)
        await intake.accept_many([world.draft(app) for _ in range(3)])
        rows = await world.fetch("select message_id from pending order by 1")
        async with world.database.transaction() as connection:
            target = await find_target(connection, app.id, endpoint_id=endpoint.id)
            assert target is not None
            await requeue.resend(connection, target, rows[0][0], datetime_at(world.clock.now()))
        await world.fetch(DISABLE, endpoint.id)
        async with world.dispatching():
            await until(lambda: _waits(world), "two are canceled, and the manual attempt waits")
        assert receiver.requests == []


async def _waits(world: World) -> bool:
    rows = await world.fetch("select state from retry where due_at is null and manual_at is not null")
    return [row[0] for row in rows] == [CANCELED] and not await world.fetch("select from pending")


async def test_deliveries_of_an_endpoint_that_was_enabled_again_are_sent(world: World) -> None:
    app = await world.application()
    async with Receiver() as receiver, world.intake() as intake:
        endpoint = await world.endpoint(app, receiver.url)
        await intake.accept(world.draft(app))
        now = datetime_at(world.clock.now())
        async with world.database.transaction() as connection:
            await connection.execute(DISABLE, endpoint.id)
            await connection.execute(ENABLE, endpoint.id)
            assert await cancel_stranded(connection, app.id, endpoint.id, now, 10) == 0
        async with world.dispatching():
            await world.until_states({DELIVERED: 1})


async def test_deliveries_of_other_applications_are_not_changed(world: World) -> None:
    app, other = await world.application(), await world.application()
    endpoint = await world.endpoint(app, "http://127.0.0.1:9/")
    async with world.intake() as intake:
        await intake.accept(world.draft(app))
    now = datetime_at(world.clock.now())
    async with world.database.transaction() as connection:
        assert await cancel_stranded(connection, other.id, endpoint.id, now, 10) == 0
        assert await cancel_stranded(connection, app.id, world.new_id(), now, 10) == 0
    assert await world.states() == {PENDING: 1}
