"""Places in the order of acceptance, for what was accepted without one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast
from uuid import UUID

import pytest

from angarium.clock import datetime_at
from angarium.core.nouns import Endpoint
from angarium.store.connection import Connection
from angarium.store.load import Wanted, load
from angarium.store.place import place
from tests.kit.explained import Explained
from tests.kit.world import World


async def queue(world: World, endpoint: Endpoint, table: str, rows: Mapping[int, int | None]) -> None:
    """Queue messages, by the number in their ids, with their places."""
    columns = "shard, endpoint_id, message_id, app_id, due_at, seq"
    values = "$1, $2, lpad(to_hex(n), 32, '0')::uuid, $3, $4, seq"
    if table == "retry":
        columns, values = columns + ", state", values + ", 1"
    await world.fetch(
        f"insert into {table} ({columns}) select {values}"
        " from unnest($5::integer[], $6::bigint[]) as row (n, seq)",
        endpoint.shard, endpoint.id, endpoint.app_id, datetime_at(world.clock.now()), list(rows),
        list(rows.values()),
    )  # fmt: skip


async def placed(world: World, endpoint: Endpoint, *, anew: bool = False) -> int:
    async with world.database.transaction() as connection:
        return await place(connection, endpoint.app_id, endpoint.id, anew=anew)


async def order(world: World, endpoint: Endpoint, room: int = 100) -> list[int]:
    wanted = Wanted(endpoint.id, endpoint.shard, fifo=True, room=room)
    async with world.database.connection() as connection:
        rows, _ = await load(connection, [wanted], datetime_at(world.clock.now()))
    return [row.message_id.int for row in rows]


async def test_deliveries_without_a_place_come_first_in_order_of_message(world: World) -> None:
    endpoint = await world.endpoint(await world.application(), "http://127.0.0.1:9/", fifo=True)
    await queue(world, endpoint, "pending", {1: None, 4: 13, 5: None, 6: 12})
    await queue(world, endpoint, "retry", {2: 11, 3: None})
    assert await order(world, endpoint) == [2, 6, 4]
    assert await placed(world, endpoint) == 3
    assert await order(world, endpoint) == [1, 3, 5, 2, 6, 4]
    assert await order(world, endpoint, 4) == [1, 3, 5, 2]
    assert await placed(world, endpoint) == 0


async def test_queued_deliveries_are_placed_when_the_endpoint_becomes_first_in_first_out(
    world: World,
) -> None:
    endpoint = await world.endpoint(await world.application(), "http://127.0.0.1:9/", fifo=True)
    await queue(world, endpoint, "pending", {2: None, 4: 11, 5: None})  # it was first-in-first-out before
    await queue(world, endpoint, "retry", {1: None, 3: None, 6: 10})
    assert await placed(world, endpoint, anew=True) == 6
    assert await order(world, endpoint) == [1, 2, 3, 4, 5, 6]
    await queue(world, endpoint, "pending", {0: 12})  # accepted by a host whose clock is behind
    assert await order(world, endpoint) == [1, 2, 3, 4, 5, 6, 0]


async def test_a_load_costs_no_more_when_many_have_the_same_place(world: World) -> None:
    endpoint = await world.endpoint(await world.application(), "http://127.0.0.1:9/", fifo=True)
    await queue(world, endpoint, "pending", dict.fromkeys(range(1, 21), 0))
    usual = await pages(world, endpoint)
    await queue(world, endpoint, "pending", dict.fromkeys(range(21, 20_001), 0))
    await world.fetch("vacuum analyze pending")
    assert await pages(world, endpoint) < 2 * usual


async def pages(world: World, endpoint: Endpoint) -> int:
    wanted = Wanted(endpoint.id, endpoint.shard, fifo=True, room=10)
    async with world.database.connection() as connection:
        explained = Explained(connection)
        rows, _ = await load(cast(Connection, explained), [wanted], datetime_at(world.clock.now()))
    assert len(rows) == 10
    return explained.pages


@pytest.mark.parametrize("change", ["fifo = false", "deleted_at = now()"])
async def test_a_free_endpoint_is_not_changed(world: World, change: str) -> None:
    endpoint = await world.endpoint(await world.application(), "http://127.0.0.1:9/", fifo=True)
    await queue(world, endpoint, "pending", {1: None})
    await world.fetch(f"update endpoint set {change} where id = $1", endpoint.id)
    assert await placed(world, endpoint) == 0


async def test_deliveries_of_other_endpoints_are_not_changed(world: World) -> None:
    app = await world.application()
    one, other = [await world.endpoint(app, "http://127.0.0.1:9/", fifo=True) for _ in range(2)]
    for endpoint in (one, other):
        await queue(world, endpoint, "pending", {1: None})
        await queue(world, endpoint, "retry", {2: None})
    assert await placed(world, one) == 2
    assert (await order(world, one), await order(world, other)) == ([1, 2], [])
    async with world.database.transaction() as connection:
        assert await place(connection, UUID(int=1), other.id) == 0
