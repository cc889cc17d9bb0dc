"""A dead endpoint with a backlog: a resend and a test start at once."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.allowance import FAILING_IN_FLIGHT
from angarium.core.nouns import Application, Endpoint
from angarium.dispatch.dispatcher import Dispatcher
from angarium.service.replay import Replay
from angarium.store import load, requeue
from angarium.store.load import Wanted
from angarium.store.target import find_target
from tests.kit.receiver import Receiver, Silence
from tests.kit.world import World, product

BACKLOG = 100
LAST = b"%d" % (BACKLOG - 1)


async def backlog(world: World, app: Application) -> None:
    """So many messages in the table, each due a second after the one before."""
    async with world.intake() as intake:
        await intake.accept_many([world.draft(app, b"%d" % number) for number in range(BACKLOG)])
    await world.fetch(
        "update pending d set due_at = due_at - make_interval(secs => $1 - o.n) from ("
        " select message_id, row_number() over (order by message_id) n from pending) o"
        " where o.message_id = d.message_id",
        BACKLOG,
    )


async def known_to_fail(world: World, endpoint: Endpoint) -> None:
    await world.fetch(
        "insert into endpoint_health (app_id, endpoint_id, failing_since, failures)"
        " values ($1, $2, now(), 50)",
        endpoint.app_id,
        endpoint.id,
    )


async def test_manual_attempts_are_loaded_before_earlier_deliveries(world: World) -> None:
    app = await world.application()
    endpoint = await world.endpoint(app, "http://127.0.0.1:9/")
    await backlog(world, app)
    now = datetime_at(world.clock.now())
    newest = await world.fetch("select message_id from pending order by message_id desc limit 3")
    manual = [row["message_id"] for row in newest]
    async with world.database.transaction() as conn:
        target = await find_target(conn, app.id, endpoint_id=endpoint.id)
        assert target is not None
        for message_id in manual:
            await requeue.resend(conn, target, message_id, now)
    for room, expected in ((2, 2), (10, 10), (BACKLOG + 5, BACKLOG)):
        async with world.database.connection() as conn:
            wanted = [Wanted(endpoint.id, endpoint.shard, fifo=False, room=room)]
            found, _ = await load.load(conn, wanted, now + timedelta(seconds=1))
        assert len({row.message_id for row in found}) == len(found) == expected
        assert {row.message_id for row in found[:3]} <= set(manual)
        due = [row.due_at for row in found[3:]]
        assert due == sorted(due)


async def test_a_resend_is_sent_before_waiting_deliveries(world: World) -> None:
    async with hanging(world) as (app, endpoint, receiver, _):
        (row,) = await world.fetch("select message_id as id from payload where body = $1", LAST)
        replay = Replay(world.database, world.clock, os.urandom)
        await replay.resend(app.id, ids.text(ids.MESSAGE, row["id"]), ids.text(ids.ENDPOINT, endpoint.id))
        await receiver.wait_for(FAILING_IN_FLIGHT + 1)
        assert receiver.requests[-1].body == LAST


async def test_a_test_is_sent_before_waiting_deliveries(world: World) -> None:
    async with (
        hanging(world) as (app, endpoint, receiver, dispatcher),
        world.intake(dispatcher.hand_over) as intake,
    ):
        await intake.accept(world.draft(app, b'"test"', endpoint_id=endpoint.id))
        await receiver.wait_for(FAILING_IN_FLIGHT + 1)
        assert receiver.requests[-1].body == b'"test"'


@asynccontextmanager
async def hanging(world: World) -> AsyncIterator[tuple[Application, Endpoint, Receiver, Dispatcher]]:
    """An endpoint that is known to fail, with a backlog of which the first attempts take all of its slots."""
    app = await world.application()
    async with Receiver(Silence()) as receiver:
        endpoint = await world.endpoint(app, receiver.url)
        await known_to_fail(world, endpoint)
        await backlog(world, app)
        async with world.dispatching(product("5s", timeout="60s")) as dispatcher:
            await all_slots_hang(receiver)
            yield app, endpoint, receiver, dispatcher


async def all_slots_hang(receiver: Receiver) -> None:
    """Those that were due first take the slots of the schedule."""
    await receiver.wait_for(FAILING_IN_FLIGHT)
    bodies = {request.body for request in receiver.requests}
    assert bodies == {b"%d" % number for number in range(FAILING_IN_FLIGHT)}
