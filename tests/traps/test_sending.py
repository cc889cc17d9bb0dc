"""Traps that other senders of webhooks fell into, on the way from the table to the receiver."""

from __future__ import annotations

import asyncio
import os
import time
from datetime import timedelta

from angarium.core import ids
from angarium.core.nouns import State
from angarium.dispatch.lane_registry import DispatchLimits
from angarium.service.endpoint import Endpoints
from angarium.service.product import Products
from tests.kit.patience import until
from tests.kit.receiver import Held, Raw, Receiver, Reply, Silence
from tests.kit.world import LOOPBACK, World, product

DELIVERED, PENDING, EXHAUSTED = State.DELIVERED, State.PENDING, State.EXHAUSTED


async def test_a_retry_goes_only_to_the_endpoint_that_failed(world: World) -> None:
    """Svix: a message batch that is delivered again is sent to every endpoint, also to those that had it."""
    app = await world.application()
    async with Receiver() as well, Receiver() as ill, world.dispatching() as dispatcher:
        ill.plan(Reply(500), Reply(500))
        await world.endpoint(app, well.url)
        await world.endpoint(app, ill.url)
        async with world.intake(dispatcher.hand_over) as intake:
            await intake.accept(world.draft(app))
        await world.until_states({DELIVERED: 2})
    assert (well.count, ill.count) == (1, 3)


async def test_a_retry_is_made_although_the_endpoint_no_longer_matches(world: World) -> None:
    """Svix: a retry is matched again, and one that does not fit any more is dropped silently; the message
    stays shown as being sent. Here it is sent, because that was promised when the message was accepted."""
    app = await world.application()
    async with Receiver() as receiver, world.dispatching(product("300ms")) as dispatcher:
        receiver.plan(Reply(500))
        made = await world.endpoint(app, receiver.url)
        async with world.intake(dispatcher.hand_over) as intake:
            await intake.accept(world.draft(app))
            await receiver.wait_for(1)
            other = "update endpoint set event_types = '{other.type}', revision = revision + 1 where id = $1"
            await world.fetch(other, made.id)
        await world.until_states({DELIVERED: 1})


async def test_a_scan_of_the_table_never_repeats_an_attempt_in_flight(world: World) -> None:
    """Svix: a task that takes longer than 45 seconds is given out again while it runs."""
    app = await world.application()
    answer = Held()
    async with Receiver(answer) as receiver, world.dispatching() as dispatcher:
        await world.endpoint(app, receiver.url)
        async with world.intake(dispatcher.hand_over) as intake:
            await intake.accept(world.draft(app))
            await receiver.wait_for(1)
            for _ in range(20):
                dispatcher.gained(())  # scans the table for lanes with queued deliveries
                await asyncio.sleep(0.02)
            answer.release.set()
        await world.until_states({DELIVERED: 1})
    assert receiver.count == 1


async def test_no_database_connection_is_held_during_a_request(world: World) -> None:
    """Hook0: the request is made inside the transaction that locked the row: a connection and a
    transaction for each delivery, for as long as the receiver takes."""
    app = await world.application()
    async with Receiver(Silence()) as receiver, world.dispatching(product("60s", "90s")) as dispatcher:
        await world.endpoint(app, receiver.url)
        async with world.intake(dispatcher.hand_over) as intake:
            await intake.accept_many([world.draft(app) for _ in range(20)])
        await receiver.wait_for(4)

        async def nothing_is_open() -> bool:
            rows = await world.fetch(
                "select state from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid() and state <> 'idle'"
            )
            return not rows

        await until(nothing_is_open)
        assert receiver.connections.open >= 4
        await receiver.stop()  # or the dispatcher would wait for its answers


async def test_deliveries_to_one_endpoint_run_in_parallel(world: World) -> None:
    """Outpost, Hook0: one at a time unless configured, so that a slow receiver falls behind without limit."""
    app = await world.application()
    async with Receiver(Reply(delay=0.5)) as receiver, world.dispatching() as dispatcher:
        await world.endpoint(app, receiver.url)
        async with world.intake(dispatcher.hand_over) as intake:
            await intake.accept_many([world.draft(app) for _ in range(60)])
        await world.until_states({DELIVERED: 60})
    assert receiver.connections.most >= 8


async def test_connections_are_used_again_by_one_endpoint_after_another(world: World) -> None:
    """Outpost until 1.2, Hook0: a new TCP and TLS connection for each delivery."""
    app = await world.application()
    async with Receiver() as receiver, world.dispatching(policy=DispatchLimits(in_flight=2)) as dispatcher:
        await world.endpoint(app, receiver.url)
        async with world.intake(dispatcher.hand_over) as intake:
            for _ in range(5):
                await intake.accept_many([world.draft(app) for _ in range(20)])
        await world.until_states({DELIVERED: 100})
    assert receiver.connections.total <= 4


async def test_the_next_attempt_is_in_the_future(world: World) -> None:
    """Convoy 1667: retries stopped, with a next attempt in the past."""
    app = await world.application()
    async with Receiver(Reply(500)) as receiver, world.dispatching(product("1s,1s,1h")) as dispatcher:
        await world.endpoint(app, receiver.url)
        async with world.intake(dispatcher.hand_over) as intake:
            await intake.accept(world.draft(app))
        await receiver.wait_for(3)

        async def recorded() -> bool:
            return len(await world.fetch("select from attempt where status is not null")) == 3

        await until(recorded)
        rows = await world.fetch(
            "select id, duration_ms, next_at from attempt where status is not null order by id"
        )
        for row in rows:
            ended = ids.created_at(row["id"]) + row["duration_ms"] / 1000
            assert row["next_at"].timestamp() >= ended + 0.99
        (owed,) = await world.fetch("select due_at from delivery")
        assert owed["due_at"] == rows[-1]["next_at"]
        assert owed["due_at"].timestamp() > time.time() + timedelta(minutes=59).total_seconds()


async def test_a_response_of_arbitrary_bytes_is_recorded_and_not_repeated(world: World) -> None:
    """Hook0 f8c1659f: a header that was not ASCII broke the transaction, and the delivery was repeated.
    Outpost 974: a response too large for the queue was delivered repeatedly without end."""
    app = await world.application()
    body = b"\x00\xff\xfe\xed \xf0\x9f" + bytes(range(256)) * 500
    head = b"HTTP/1.1 200 \xc3\xa4\xff\r\nx-name: \xff\x80\xc3\xa4\r\ncontent-length: %d\r\n\r\n" % len(body)
    async with Receiver(Raw(head + body)) as receiver, world.dispatching() as dispatcher:
        await world.endpoint(app, receiver.url)
        async with world.intake(dispatcher.hand_over) as intake:
            await intake.accept(world.draft(app))
        await world.until_states({DELIVERED: 1})
        (row,) = await world.fetch("select status_code, response from attempt where status is not null")
    assert row["status_code"] == 200
    assert row["response"] == body[: len(row["response"])]
    assert receiver.count == 1


async def test_many_attempts_leave_nothing_behind_in_memory(world: World) -> None:
    """Convoy 2030: a task for each delivery was never ended."""
    app = await world.application()
    async with Receiver() as receiver, world.dispatching() as dispatcher:
        await world.endpoint(app, receiver.url)
        async with world.intake(dispatcher.hand_over) as intake:
            await intake.accept(world.draft(app))
            await world.until_states({DELIVERED: 1})
            before = len(asyncio.all_tasks())
            await intake.accept_many([world.draft(app) for _ in range(500)])
            await world.until_states({DELIVERED: 501})

            async def ended() -> bool:
                return len(asyncio.all_tasks()) <= before + 2

            await until(ended)


async def test_an_endpoint_that_is_deleted_while_a_request_is_under_way(world: World) -> None:
    """Hook0 86c2cbb4: a race between sending and removing. What is under way ends as it ends and is
    recorded; what waits is canceled and not sent."""
    app = await world.application()
    policy, answer = DispatchLimits(in_flight=1), Held()
    async with Receiver(answer) as receiver, world.dispatching(policy=policy) as dispatcher:
        made = await world.endpoint(app, receiver.url)
        endpoints = Endpoints(
            *(world.database, world.clock, os.urandom, world.keyring),
            policy=LOOPBACK,
            https_only=False,
            products=Products(world.database, world.clock, {}),
        )
        async with world.intake(dispatcher.hand_over) as intake:
            await intake.accept_many([world.draft(app) for _ in range(3)])
            await receiver.wait_for(1)
            await endpoints.delete(app.id, ids.text(ids.ENDPOINT, made.id))
            await until(lambda: dispatcher._registry.get(made.id) is None, "the dispatcher hears of it")
            answer.release.set()
        await world.until_states({DELIVERED: 1, State.CANCELED: 2})
    assert receiver.count == 1
    assert len(await world.fetch("select from attempt where status is not null")) == 1
