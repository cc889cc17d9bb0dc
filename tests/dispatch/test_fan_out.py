"""Fan-out: large messages arrive completely, whichever process writes their deliveries, and do not delay
others."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Final
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from angarium.core.errors import StoreReason, StoreUnavailable
from angarium.core.nouns import Application
from angarium.core.trace import OpenSpan
from angarium.dispatch import fan_out as module
from angarium.dispatch.fan_out import FanOut
from angarium.dispatch.notifier import Notifier
from angarium.service import trace
from angarium.service.intake import Accepted
from angarium.store import accept, fan_out
from angarium.store.accept import NewDelivery
from angarium.store.database import Database
from angarium.store.fault import RowRefused
from tests.kit import many
from tests.kit.patience import until
from tests.kit.receiver import Receiver
from tests.kit.task import finish_tasks
from tests.kit.traced import Traced, Untouched
from tests.kit.world import World

DELIVERED: Final = 0
ROOM: Final = 140  # deliveries of a slice
CROWD: Final = 2 * ROOM + 7
assert CROWD > accept.BASE + 3 * accept.EACH, "so many that another statement writes them"
HELD: Final = "select message_id from fan_out where app_id = $1 for update"


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fan_out, "ROOM", ROOM)


async def crowd(world: World, app: Application, url: str, count: int = CROWD, *, fifo: bool = False) -> None:
    async with world.database.connection() as connection:
        await many.endpoints(connection, app, count, url + "/", keyring=world.keyring, fifo=fifo)


@pytest.mark.parametrize("fifo", [False, True])
async def test_a_large_message_arrives_once_at_each_endpoint(world: World, fifo: bool) -> None:
    app = await world.application()
    async with Receiver() as receiver, world.dispatching(tracer=Untouched()) as dispatcher:
        await crowd(world, app, receiver.url, fifo=fifo)
        async with world.intake(dispatcher.hand_over, dispatcher.fan_out) as intake:
            await intake.accept(world.draft(app, b'{"n": 1}'))
        await world.until_states({DELIVERED: CROWD})
        assert Counter(request.path for request in receiver.requests) == {
            f"/hook/{n + 1}": 1 for n in range(CROWD)
        }
        assert {request.body for request in receiver.requests} == {b'{"n": 1}'}


async def test_a_large_message_without_a_hint_is_found(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that accepted it is gone."""
    app = await world.application()
    async with Receiver() as receiver:
        await crowd(world, app, receiver.url)
        async with world.intake() as intake:
            await intake.accept(world.draft(app))
        assert not await world.states()
        async with world.dispatching():
            await world.until_states({DELIVERED: CROWD})
            monkeypatch.setattr(module, "EVERY", 0.1)
            async with world.intake() as intake:
                await intake.accept(world.draft(app))
            await world.until_states({DELIVERED: 2 * CROWD})


async def test_a_process_that_only_accepts_notifies_dispatchers(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EVERY", 3600.0)  # they do not look by themselves
    app = await world.application()
    async with Receiver() as receiver, world.dispatching():
        await crowd(world, app, receiver.url)
        notifier = Notifier(world.database)
        await notifier.start()
        async with world.intake(
            lambda deliveries, since: notifier.tell(deliveries), notifier.fan_out
        ) as intake:
            await intake.accept(world.draft(app))
        await world.until_states({DELIVERED: CROWD})
        await notifier.stop()


async def test_other_applications_are_served_while_a_large_message_waits(world: World) -> None:
    """The large one's row is held from here, so that it provably is not."""
    large, other, small = [await world.application() for _ in range(3)]
    async with Receiver() as receiver, Receiver() as quick, world.dispatching() as dispatcher:
        await crowd(world, large, receiver.url)
        await crowd(world, other, receiver.url)
        await world.endpoint(small, quick.url)
        async with world.database.transaction() as connection:
            async with world.intake() as intake:
                await intake.accept_many([world.draft(large) for _ in range(3)])
            await connection.fetch(HELD, large.id)
            async with world.intake(dispatcher.hand_over, dispatcher.fan_out) as intake:
                found = await intake.accept_many([world.draft(small), world.draft(other), world.draft(large)])
                assert all(isinstance(one, Accepted) for one in found)
                await quick.wait_for(1)
            await world.until_states({DELIVERED: 1 + CROWD})
        dispatcher.fan_out()
        await world.until_states({DELIVERED: 1 + 5 * CROWD})


async def test_the_order_of_acceptance_is_kept_behind_a_large_message(world: World) -> None:
    app = await world.application()
    async with Receiver() as receiver, Receiver() as first, world.dispatching() as dispatcher:
        await crowd(world, app, receiver.url)
        await world.endpoint(app, first.url, fifo=True)
        async with world.intake(dispatcher.hand_over, dispatcher.fan_out) as intake:
            for n in range(3):
                await intake.accept(world.draft(app, b'{"n": %d}' % n))
        await world.until_states({DELIVERED: 3 * (CROWD + 1)})
        assert [request.body for request in first.requests] == [b'{"n": %d}' % n for n in range(3)]


async def test_an_endpoint_disabled_between_slices_gets_no_delivery(world: World) -> None:
    app = await world.application()
    async with Receiver() as receiver:
        await crowd(world, app, receiver.url)
        async with world.intake() as intake:
            await intake.accept(world.draft(app))
        await fan_out.write(world.database, app.id, world.clock.now())
        written = len(await world.fetch("select from pending"))
        await world.fetch("update endpoint set disabled_at = updated_at")
        async with world.dispatching():
            await world.until_states({4: written})
        await finish_tasks(world.database, world.clock)
        assert not receiver.requests
        assert not await world.fetch("select from fan_out")


@pytest.mark.parametrize("regained", [False, True])
async def test_a_delivery_that_is_handed_over_late_is_sent_once(world: World, regained: bool) -> None:
    """A slice is handed over in parts, and lanes may read it from the table before; so may another owner of
    the shard in between."""
    app = await world.application()
    async with Receiver() as receiver:
        await crowd(world, app, receiver.url)
        async with world.intake() as intake:
            await intake.accept(world.draft(app))
        since = world.clock.now()
        made = await fan_out.write(world.database, app.id, since)
        assert made is not None
        async with world.dispatching() as dispatcher:
            await world.until_states({DELIVERED: CROWD})
            if regained:
                shards = dispatcher.owned
                dispatcher.lost(shards)
                dispatcher.gained(shards)
            dispatcher.hand_over(made.new_deliveries, since)
            async with world.intake(dispatcher.hand_over) as intake:
                await intake.accept(world.draft(app, b'{"n": 2}'))
            await world.until_states({DELIVERED: 2 * CROWD})
        assert len(receiver.requests) == 2 * CROWD


class Broken:
    """Fails so often for one application, and once for all."""

    def __init__(self, world: World, application: Application) -> None:
        self.real = fan_out.write
        self.application = application
        self.times = 3
        self.away = 1

    async def write(self, database: Database, app_id: UUID, now: float) -> fan_out.FanOutSlice | None:
        if self.away:
            self.away -= 1
            raise StoreUnavailable(reason=StoreReason.UNREACHABLE)
        if app_id == self.application.id and self.times:
            self.times -= 1
            raise RowRefused("23514")
        return await self.real(database, app_id, now)


def at_work_on(world: World) -> tuple[FanOut, list[NewDelivery]]:
    """And where what it hands over is put."""
    handed: list[NewDelivery] = []
    return FanOut(
        world.database, world.clock, lambda new_deliveries, _since: handed.extend(new_deliveries)
    ), handed


async def test_an_error_in_one_application_does_not_delay_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    apps = sorted([await world.application() for _ in range(3)], key=lambda app: app.id)
    broken = Broken(world, apps[1])
    monkeypatch.setattr(fan_out, "write", broken.write)
    monkeypatch.setattr(module, "PAUSE", 0.01)
    for app in apps:
        await crowd(world, app, "http://127.0.0.1:9")
    async with world.intake() as intake:
        for app in apps:
            await intake.accept(world.draft(app))
    at_work, handed = at_work_on(world)
    with capture_logs() as logs:
        running = asyncio.create_task(at_work.run())
        await until(lambda: len(handed) == 3 * CROWD, "all is written")
        running.cancel()
    failed = [entry.get("application") for entry in logs if entry["event"] == "fan_out.failed"]
    assert len(failed) == 4
    last = [one.app_id for one in handed][-1]
    assert last == apps[1].id


async def test_a_long_fan_out_is_logged(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONG", 0.0)
    app = await world.application()
    await crowd(world, app, "http://127.0.0.1:9")
    async with world.intake() as intake:
        await intake.accept(world.draft(app))
    handed: list[NewDelivery] = []
    with capture_logs() as logs:
        running = asyncio.create_task(
            FanOut(
                world.database, world.clock, lambda new_deliveries, _since: handed.extend(new_deliveries)
            ).run()
        )
        await until(lambda: len(handed) == CROWD, "all is written")
        running.cancel()
    told = [entry for entry in logs if entry["event"] == "fan_out.waiting"]
    assert told
    assert (told[0]["messages"], told[0]["applications"]) == (1, 1)
    assert told[0]["seconds"] >= 0


async def test_each_slice_and_each_attempt_is_linked_to_the_acceptance(world: World) -> None:
    app = await world.application()
    traced = Traced()
    async with Receiver() as receiver, world.dispatching(tracer=traced) as dispatcher:
        await crowd(world, app, receiver.url)
        async with world.intake(dispatcher.hand_over, dispatcher.fan_out, tracer=traced) as intake:
            await intake.accept(world.draft(app))  # which is not sampled
            await world.until_states({DELIVERED: CROWD})
            assert traced.ends == []
            trace.began(OpenSpan(b"t" * 16, b"s" * 8, None, 0))
            try:
                await intake.accept(world.draft(app))
            finally:
                trace.began(None)
        await world.until_states({DELIVERED: 2 * CROWD})
    (accepted,) = [one.span for one in traced.ends if one.name == "accept"]
    assert (accepted.trace_id, accepted.parent_id) == (b"t" * 16, b"s" * 8)
    slices = traced.links("fan_out")
    assert len(slices) >= CROWD // ROOM
    assert slices == [[accepted.context]] * len(slices)
    assert traced.links("attempt") == [(accepted.context,)] * CROWD
