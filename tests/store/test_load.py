"""What a load brings: pending deliveries without a gap, from behind the last one that a lane has read. Free
lanes read by message id, first-in-first-out lanes by the order of acceptance."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

import pytest

from angarium.clock import datetime_at
from angarium.core.nouns import Application, Endpoint
from angarium.core.read_position import START
from angarium.store import load
from angarium.store.connection import Connection
from angarium.store.load import Loaded, Wanted
from tests.kit.explained import Explained
from tests.kit.world import World

ROOM = 10
DONE = 20_000  # deliveries


@pytest.fixture
async def lane(world: World) -> tuple[Application, Endpoint]:
    app = await world.application()
    return app, await world.endpoint(app, "http://127.0.0.1:9/")


@pytest.fixture(params=["free", "fifo"])
async def either(world: World, request: pytest.FixtureRequest) -> Endpoint:
    app = await world.application()
    return await world.endpoint(app, "http://127.0.0.1:9/", fifo=request.param == "fifo")


async def fill(world: World, endpoint: Endpoint, first: int, count: int, due_at: datetime) -> None:
    """So many deliveries, whose message ids and places are the numbers from `first` on."""
    await world.fetch(
        "insert into pending (shard, endpoint_id, message_id, app_id, due_at, seq)"
        " select $1, $2, lpad(to_hex(n), 32, '0')::uuid, $3, $4, case when $7 then n end"
        " from generate_series($5::bigint, $5 + $6 - 1) n",
        endpoint.shard, endpoint.id, endpoint.app_id, due_at, first, count, endpoint.fifo,
    )  # fmt: skip


async def found(
    world: World, endpoint: Endpoint, now: datetime, after: int, room: int = ROOM
) -> list[Loaded]:
    wanted = Wanted(endpoint.id, endpoint.shard, endpoint.fifo, room=room, after=after)
    async with world.database.connection() as connection:
        rows, _ = await load.load(connection, [wanted], now)
    return rows


async def read_all(
    world: World, endpoint: Endpoint, now: datetime, place: Callable[[Loaded], int], room: int = ROOM
) -> list[int]:
    """The message ids in the order in which they are read, until nothing more comes."""
    read: list[int] = []
    after = START
    while rows := await found(world, endpoint, now, after, room):
        last, after = after, max(map(place, rows))
        assert after > last, f"the next read starts at {last} again, after {len(read)} deliveries"
        read += [row.message_id.int for row in rows]
    return read


async def test_pending_deliveries_load_in_order_of_place_after_the_read_position(
    world: World, either: Endpoint
) -> None:
    now = datetime_at(world.clock.now())
    await fill(world, either, 1, 25, now)
    read = await read_all(world, either, now, lambda row: row.seq if either.fifo else row.message_id.int)
    assert read == list(range(1, 26))


async def test_the_first_place_is_read_from_the_start(world: World) -> None:
    endpoint = await world.endpoint(await world.application(), "http://127.0.0.1:9/", fifo=True)
    now = datetime_at(world.clock.now())
    await fill(world, endpoint, 1, 4, now)
    await world.fetch("update pending set seq = 0 where seq < 3")
    assert [row.seq for row in await found(world, endpoint, now, START)] == [0, 0, 3, 4]
    assert [row.seq for row in await found(world, endpoint, now, 3)] == [4]


async def test_retries_are_read_independent_of_their_place(world: World) -> None:
    endpoint = await world.endpoint(await world.application(), "http://127.0.0.1:9/", fifo=True)
    now = datetime_at(world.clock.now())
    await fill(world, endpoint, 4, 2, now)
    for number, scheduled in ((1, False), (2, True)):
        await world.fetch(
            "insert into retry (endpoint_id, message_id, app_id, shard, state, due_at, seq, scheduled)"
            " values ($1, $2, $3, $4, 1, $5, $6, $7)",
            endpoint.id, UUID(int=number), endpoint.app_id, endpoint.shard, now, number, scheduled,
        )  # fmt: skip
    rows = await found(world, endpoint, now, 4)
    assert [(row.seq, row.pending) for row in rows] == [(1, False), (2, False), (5, True)]


async def test_a_load_has_no_gap_even_if_host_clocks_differ(
    world: World, lane: tuple[Application, Endpoint]
) -> None:
    """The third was accepted by a host whose clock is ahead."""
    now = datetime_at(world.clock.now())
    for number in range(1, 21):
        await fill(world, lane[1], number, 1, now - timedelta(seconds=(0 if number == 3 else 5 + number % 4)))
    read = await read_all(world, lane[1], now, lambda row: row.message_id.int, room=4)
    assert sorted(read) == list(range(1, 21))


async def pages(world: World, endpoint: Endpoint, now: datetime, after: int) -> int:
    wanted = Wanted(endpoint.id, endpoint.shard, endpoint.fifo, room=ROOM, after=after)
    async with world.database.connection() as connection:
        explained = Explained(connection)
        rows, _ = await load.load(cast(Connection, explained), [wanted], now)
        assert len(rows) == ROOM
        return explained.pages


@asynccontextmanager
async def beside_a_dump(world: World, endpoint: Endpoint, now: datetime) -> AsyncIterator[None]:
    """While a transaction is open that keeps what was done meanwhile in the table, before what is to send."""
    async with world.database.connection() as dump:
        await dump.execute("begin isolation level repeatable read")
        await dump.execute("select count(*) from pending")
        await fill(world, endpoint, 3 * ROOM, DONE, now)
        await world.fetch("delete from pending")
        await fill(world, endpoint, 3 * ROOM + DONE, 2 * ROOM, now)
        yield
        await dump.execute("rollback")


async def test_a_load_costs_no_more_while_a_transaction_stays_open(world: World, either: Endpoint) -> None:
    """A dump keeps dead entries in the table. A lane that reads from the start reads all of them."""
    endpoint, now = either, datetime_at(world.clock.now())
    await fill(world, endpoint, 1, 2 * ROOM, now)
    usual = await pages(world, endpoint, now, START)
    async with beside_a_dump(world, endpoint, now):
        await world.fetch("vacuum pending")
        behind = await pages(world, endpoint, now, 3 * ROOM + DONE - 1)
        from_the_beginning = await pages(world, endpoint, now, START)
    assert behind < 2 * usual
    assert from_the_beginning > 10 * usual, "the transaction kept nothing, so nothing is shown here"


async def test_the_scan_finds_the_first_delivery_while_a_transaction_stays_open(
    world: World, lane: tuple[Application, Endpoint]
) -> None:
    endpoint, now = lane[1], datetime_at(world.clock.now())
    await fill(world, endpoint, 1, 2 * ROOM, now)
    usual = await pages(world, endpoint, now, START)
    async with beside_a_dump(world, endpoint, now):
        async with world.database.connection() as connection:
            (found,) = await load.lanes_of(connection, [endpoint.shard])
        assert found.first == UUID(int=3 * ROOM + DONE)
        assert await pages(world, endpoint, now, found.first.int - 1) < 2 * usual


async def test_the_scan_names_no_message_if_all_were_attempted(
    world: World, lane: tuple[Application, Endpoint]
) -> None:
    app, endpoint = lane
    await world.fetch(
        "insert into retry (endpoint_id, message_id, app_id, shard, state, failures, due_at)"
        " values ($1, $2, $3, $4, 1, 1, $5)",
        endpoint.id, UUID(int=1), app.id, endpoint.shard, datetime_at(world.clock.now()),
    )  # fmt: skip
    async with world.database.connection() as connection:
        (found,) = await load.lanes_of(connection, [endpoint.shard])
    assert found.first is None
