"""An owner that was paused sends nothing until it knows that its shards are still its own."""

from __future__ import annotations

import asyncio
from datetime import datetime

import pytest

from angarium.clock import steady
from angarium.dispatch import ownership
from angarium.store import shard
from angarium.store.connection import Connection
from tests.kit.receiver import Receiver
from tests.kit.world import World

DELIVERED = 0


async def test_after_a_pause_nothing_is_sent_before_the_next_query(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = await world.application()
    looks, looking = asyncio.Event(), asyncio.Event()
    members = shard.members

    async def held_up(connection: Connection) -> dict[int, datetime | None]:
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
