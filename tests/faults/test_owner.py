"""An owner of shards that is neither dead nor well."""

from __future__ import annotations

from pathlib import Path

import pytest

from angarium.store import shard
from angarium.store.connection import Connector
from angarium.store.database import GONE, Database
from tests.faults.proxy import Proxy
from tests.kit.patience import until
from tests.kit.receiver import Receiver
from tests.kit.world import World


async def test_an_owner_that_hangs_loses_its_lanes_to_the_others(
    world: World, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its host still responds, so PostgreSQL would keep its session, and with it its shards, permanently."""
    monkeypatch.setattr(shard, "SILENCE", 1.5)
    hanging = await Connector(
        database_url, statement_timeout=None, name="angarium-dispatcher", settings=GONE
    )()
    await shard.join(hanging)
    assert len(await shard.take(hanging, range(shard.SHARDS))) == shard.SHARDS
    async with Receiver() as receiver, world.dispatching() as dispatcher, world.intake() as intake:
        app = await world.application()
        await world.endpoint(app, receiver.url)
        await intake.accept(world.draft(app))
        await receiver.wait_for(1)
        await until(lambda: len(dispatcher.owned) == shard.SHARDS, "all lanes are the other's")
        await until(hanging.is_closed, "the session has ended")


async def test_an_owner_without_the_database_stops_by_itself(
    directory: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the others may take its lanes. (It waited for 30 seconds, and sent what it held meanwhile.)"""
    monkeypatch.setattr(shard, "TIMEOUT", 0.5)
    async with Proxy(directory, database_url) as proxy:
        parted = await Database.connect(proxy.url)
        try:
            async with World(parted).dispatching() as dispatcher:
                await until(lambda: len(dispatcher.owned) == shard.SHARDS)
                proxy.part()
                await until(lambda: not dispatcher.owned)
                proxy.mend()
                await until(lambda: len(dispatcher.owned) == shard.SHARDS)
        finally:
            await parted.close()
