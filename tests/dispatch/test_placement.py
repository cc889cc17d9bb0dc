"""A message that is accepted at the moment at which its endpoint becomes first-in-first-out is delivered, and
before what is accepted after it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.errors import StoreReason, StoreUnavailable
from angarium.core.nouns import Application, Endpoint
from angarium.dispatch.notifier import Notifier
from angarium.dispatch.peer.sharing import Sharing
from angarium.store import accept, fan_out, load
from angarium.store import place as store
from angarium.store.connection import Connection
from angarium.store.hint import LaneWork, Work
from angarium.store.sql import queries
from tests.kit.patience import until
from tests.kit.receiver import Held, Receiver
from tests.kit.world import World

LATE, NEXT = b'{"n":1}', b'{"n":2}'


async def become_fifo(world: World, endpoint: Endpoint) -> None:
    async with world.database.transaction() as connection:
        await connection.execute(
            "update endpoint set fifo = true, revision = revision + 1 where id = $1", endpoint.id
        )
        await store.place(connection, endpoint.app_id, endpoint.id, anew=True)
        await queries.endpoint_notify(connection, id=endpoint.id)


def item(world: World, app: Application, due_in: float = 0.0) -> accept.Item:
    now = world.clock.now()
    return accept.Item(
        id=world.new_id(), org_id=app.org_id, app=ids.text(ids.APPLICATION, app.id), event_type="a.b",
        payload=LATE, event_id=None, channels=(), tags=(), expires_at=datetime_at(now) + timedelta(hours=1),
        key=None, endpoint_id=None, due_at=now + due_in,
    )  # fmt: skip


async def accepted(world: World, connection: Connection, app: Application) -> list[accept.NewDelivery]:
    return (await accept.accept(connection, [item(world, app)], world.clock.now()))[1]


async def scheduled(world: World, connection: Connection, app: Application) -> list[accept.NewDelivery]:
    return (await accept.accept(connection, [item(world, app, 0.01)], world.clock.now()))[1]


async def fanned_out(world: World, connection: Connection, app: Application) -> list[accept.NewDelivery]:
    """A slice of a message that was accepted before, without a hint."""
    claimed = await fan_out.claim(connection, app.id, 1)
    assert claimed is not None
    written = await fan_out.write_slice(connection, app.id, claimed, world.clock.now())
    assert [row["fifo"] for row in written] == [False, False]
    return []


CREATIONS = pytest.mark.parametrize("creation", [accepted, scheduled, fanned_out])


@asynccontextmanager
async def late(
    world: World, creation: Callable[..., Any], app: Application, endpoint: Endpoint
) -> AsyncIterator[list[accept.NewDelivery]]:
    """A message whose delivery is written before its endpoint becomes first-in-first-out, and committed at
    the end."""
    if creation is fanned_out:
        async with world.database.transaction() as connection:
            one = item(world, app)
            await accept.accept(connection, [one], world.clock.now())
            await connection.execute("delete from pending")
            await connection.execute(
                "insert into fan_out values ($1, $2, nextval('acceptance'), $3)", one.id, app.id,
                datetime_at(one.due_at),
            )  # fmt: skip
    async with world.database.transaction() as connection:
        new_deliveries = await creation(world, connection, app)
        await become_fifo(world, endpoint)
        yield new_deliveries


@CREATIONS
async def test_a_delivery_without_a_place_is_found_in_the_table(
    world: World, creation: Callable[..., Any]
) -> None:
    app = await world.application()
    async with Receiver() as receiver, world.intake() as intake:
        endpoint = await world.endpoint(app, receiver.url)
        async with late(world, creation, app, endpoint):
            await intake.accept(world.draft(app, NEXT))
        async with world.dispatching():
            await until(lambda: len(receiver.requests) == 2)
        if creation is not scheduled:  # which holds nothing back before it is due
            assert [request.body for request in receiver.requests] == [LATE, NEXT]


@pytest.mark.parametrize("told", ["by its own process", "by another process"])
async def test_a_placed_delivery_is_sent_before_later_messages(world: World, told: str) -> None:
    app = await world.application()
    async with (
        Receiver() as receiver,
        world.dispatching() as dispatcher,
        world.intake(dispatcher.hand_over) as intake,
    ):
        endpoint = await world.endpoint(app, receiver.url)
        await intake.accept(world.draft(app, b"{}"))
        await until(lambda: len(receiver.requests) == 1)
        async with late(world, accepted, app, endpoint) as new_deliveries:
            await intake.accept(world.draft(app, b"{}"))
            await until(lambda: len(receiver.requests) == 2)  # the lane has an order now
        if told == "by its own process":
            dispatcher.hand_over(new_deliveries, world.clock.now())
        else:
            dispatcher.hinted(
                Work((LaneWork(app.id, endpoint.id, new_deliveries[0].message_id, new_deliveries[0].seq),))
            )
        await intake.accept(world.draft(app, NEXT))
        await until(lambda: len(receiver.requests) == 4)
        assert [request.body for request in receiver.requests[2:]] == [LATE, NEXT]


async def test_the_lane_waits_for_the_placement_and_continues(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = await world.application()
    failures = 0
    place = store.place

    async def broken(*arguments: Any) -> int:
        nonlocal failures
        failures += 1
        if failures == 1:
            raise StoreUnavailable(StoreReason.UNREACHABLE)
        if failures == 2:
            raise RuntimeError("a bug")
        return await place(*arguments)

    async with Receiver() as receiver, world.intake() as intake:
        endpoint = await world.endpoint(app, receiver.url)
        async with late(world, accepted, app, endpoint):
            await intake.accept(world.draft(app, NEXT))
        monkeypatch.setattr(store, "place", broken)
        async with world.dispatching():
            await until(lambda: len(receiver.requests) == 2)
        assert [request.body for request in receiver.requests] == [LATE, NEXT]
        assert failures == 3


@pytest.mark.parametrize("confirmed", [True, False])
async def test_a_placed_delivery_is_sent_before_those_in_memory(
    world: World, monkeypatch: pytest.MonkeyPatch, confirmed: bool
) -> None:
    """Also where it is placed by a commit that is not confirmed."""
    app = await world.application()
    answer = Held()
    place = store.place
    calls = 0

    async def unconfirmed(connection: Connection, app_id: UUID, endpoint_id: UUID) -> int:
        nonlocal calls
        calls += 1
        if calls > 1:
            return await place(connection, app_id, endpoint_id)
        async with world.database.transaction() as other:
            await place(other, app_id, endpoint_id)
        raise StoreUnavailable(StoreReason.UNREACHABLE)

    async with (
        Receiver() as receiver,
        world.dispatching() as dispatcher,
        world.intake(dispatcher.hand_over) as intake,
    ):
        receiver.default = answer
        endpoint = await world.endpoint(app, receiver.url)
        async with late(world, accepted, app, endpoint) as new_deliveries:
            await intake.accept(world.draft(app, b"{}"))
            await receiver.wait_for(1)
            await intake.accept(world.draft(app, NEXT))
            await until(lambda: sum(active.lane.waiting for active in dispatcher._registry) == 1)
        if not confirmed:
            monkeypatch.setattr(store, "place", unconfirmed)
        dispatcher.hand_over(new_deliveries, world.clock.now())
        await until(lambda: _placed(world))
        answer.release.set()
        await until(lambda: len(receiver.requests) == 3)
        assert [request.body for request in receiver.requests] == [b"{}", LATE, NEXT]
        assert calls == (0 if confirmed else 2)


async def _placed(world: World) -> bool:
    return bool(await world.fetch("select from pending where seq = 0"))


async def test_a_delivery_that_commits_before_the_switch_is_known_is_placed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = await world.application()
    heard = asyncio.Event()
    configs = load.configs

    async def queued(*arguments: Any) -> list[load.Config]:
        await heard.wait()
        return await configs(*arguments)

    async with (
        Receiver() as receiver,
        world.dispatching() as dispatcher,
        world.intake(dispatcher.hand_over) as intake,
    ):
        endpoint = await world.endpoint(app, receiver.url)
        await intake.accept(world.draft(app, b"{}"))
        await until(lambda: len(receiver.requests) == 1)
        monkeypatch.setattr(load, "configs", queued)
        async with late(world, accepted, app, endpoint):
            pass
        await intake.accept(world.draft(app, NEXT))
        heard.set()
        await until(lambda: len(receiver.requests) == 3)
        assert [request.body for request in receiver.requests[1:]] == [LATE, NEXT]


@pytest.mark.parametrize("told", ["by its own process", "by another process"])
async def test_no_placement_runs_if_all_deliveries_have_places(
    world: World, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    asked: list[UUID] = []
    place = store.place

    async def counted(connection: Connection, app_id: UUID, endpoint_id: UUID) -> int:
        asked.append(endpoint_id)
        return await place(connection, app_id, endpoint_id)

    monkeypatch.setattr(store, "place", counted)
    app = await world.application()
    notifier = Notifier(world.database)
    await notifier.start()
    async with Receiver() as receiver, world.dispatching() as dispatcher:
        by_hint = Sharing(world.clock, os.urandom, world.keyring, notifier).give
        async with world.intake(dispatcher.hand_over if told == "by its own process" else by_hint) as intake:
            for fifo in (False, True):
                await world.endpoint(app, receiver.url, fifo=fifo)
            for count in range(2, 8, 2):
                await intake.accept(world.draft(app))
                await until(lambda count=count: len(receiver.requests) == count)  # type: ignore[misc]
    await notifier.stop()
    assert asked == []
