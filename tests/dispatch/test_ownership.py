"""An owner sends only while its shards are surely its own, and one that stops gives them to others."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from angarium.clock import datetime_at, steady
from angarium.dispatch import ownership
from angarium.store import partition, shard
from angarium.store.connection import Connection
from tests.kit.patience import PATIENCE, until
from tests.kit.receiver import Held, Receiver
from tests.kit.world import World

DELIVERED = 0


async def test_after_a_pause_nothing_is_sent_before_the_next_query(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = await world.application()
    looks, looking = asyncio.Event(), asyncio.Event()
    members = shard.members

    async def held_up(connection: Connection) -> list[shard.Member]:
        looking.set()
        await looks.wait()
        return await members(connection)

    async with Receiver() as receiver, world.dispatching() as dispatcher:
        await world.endpoint(app, receiver.url)
        async with world.intake(dispatcher.hand_over) as intake:
            await intake.accept(world.draft(app))
            await world.until_states({DELIVERED: 1})  # the lane is open, its endpoint is known
            assert dispatcher._ownership.sure
            monkeypatch.setattr(shard, "members", held_up)
            await looking.wait()
            # the process stood still
            monkeypatch.setattr(ownership, "steady", lambda: steady() + shard.SILENCE)
            assert not dispatcher._ownership.sure
            await intake.accept(world.draft(app))
            for _ in range(100):  # turns of the loop: an attempt starts in the first of them
                await asyncio.sleep(0)
                assert len(dispatcher._attempts) == 0
            assert len(receiver.requests) == 1
            looks.set()
            await world.until_states({DELIVERED: 2})
            assert dispatcher._ownership.sure


async def test_a_dispatcher_that_stops_gives_away_every_shard_whose_attempts_have_ended(world: World) -> None:
    app = await world.application()
    shards = frozenset(range(shard.SHARDS))
    hanging = Held()
    async with Receiver(hanging) as slow, Receiver() as quick, world.dispatching() as leaving:
        busy = (await world.endpoint(app, slow.url)).shard
        async with world.intake(leaving.hand_over) as intake:
            await intake.accept(world.draft(app))
            await slow.wait_for(1)
            async with world.dispatching() as staying:
                await until(lambda: len(staying.owned) == len(leaving.owned) == shard.SHARDS // 2)
                assert busy in leaving.owned
                stopping = asyncio.create_task(leaving.retire())
                await until(lambda: staying.owned == shards - {busy}, "all others are taken")
                assert leaving.owned == {busy}
                assert not stopping.done()

                # partitions are made meanwhile
                async with asyncio.timeout(PATIENCE / 2), world.database.connection() as connection:
                    await partition.ahead(connection, datetime_at(4e9), timedelta(days=1))

                # what the process that stops accepts meanwhile is sent by the other
                elsewhere = next(one for one in iter(world.new_id, None) if shard.shard_of(one) != busy)
                await world.endpoint(app, quick.url, id=elsewhere, shard=shard.shard_of(elsewhere))
                await intake.accept(world.draft(app))
                await quick.wait_for(1)
                assert leaving.owned == {busy}
                hanging.release.set()
                await stopping
                await world.until_states({DELIVERED: 3})
                assert staying.owned == shards
    assert (len(slow.requests), len(quick.requests)) == (2, 1)
