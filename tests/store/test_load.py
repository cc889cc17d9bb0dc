"""What a load brings: pending deliveries without a gap, from behind the last one that a lane has read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

import pytest

from angarium.clock import datetime_at
from angarium.core.nouns import Application, Endpoint
from angarium.core.read_position import FIRST
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


async def fill(world: World, endpoint: Endpoint, first: int, count: int, due_at: datetime) -> None:
    await world.fetch(
        "insert into pending (shard, endpoint_id, message_id, app_id, due_at)"
        " select $1, $2, lpad(to_hex(n), 32, '0')::uuid, $3, $4"
        " from generate_series($5::bigint, $5 + $6 - 1) n",
        endpoint.shard, endpoint.id, endpoint.app_id, due_at, first, count,
    )  # fmt: skip


async def found(
    world: World, endpoint: Endpoint, now: datetime, after: UUID, room: int = ROOM
) -> list[Loaded]:
    wanted = Wanted(endpoint.id, endpoint.shard, fifo=False, room=room, after=after)
    async with world.database.connection() as connection:
        rows, _ = await load.load(connection, [wanted], now)
    return rows


async def test_pending_deliveries_come_in_order_of_message_from_behind_what_was_read(
    world: World, lane: tuple[Application, Endpoint]
) -> None:
    now = datetime_at(world.clock.now())
    await fill(world, lane[1], 1, 25, now)
    read, after = [], FIRST
    while rows := await found(world, lane[1], now, after):
        read += [row.message_id.int for row in rows]
        after = rows[-1].message_id
    assert read == list(range(1, 26))


async def test_the_last_that_comes_has_no_gap_before_it_whatever_the_clocks_of_the_hosts_said(
    world: World, lane: tuple[Application, Endpoint]
) -> None:
    """The third was accepted by a host whose clock is ahead."""
    now = datetime_at(world.clock.now())
    for number in range(1, 21):
        await fill(world, lane[1], number, 1, now - timedelta(seconds=(0 if number == 3 else 5 + number % 4)))
    read, after = [], FIRST
    while rows := await found(world, lane[1], now, after, room=4):
        read += [row.message_id.int for row in rows]
        after = max(row.message_id for row in rows)
    assert sorted(read) == list(range(1, 21))


async def pages(world: World, endpoint: Endpoint, now: datetime, after: UUID) -> int:
    wanted = Wanted(endpoint.id, endpoint.shard, fifo=False, room=ROOM, after=after)
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


async def test_a_lane_reads_on_as_cheaply_while_a_transaction_stays_open(
    world: World, lane: tuple[Application, Endpoint]
) -> None:
    """A dump keeps what is done in the table. A lane that reads from the beginning passes over all of it."""
    endpoint, now = lane[1], datetime_at(world.clock.now())
    await fill(world, endpoint, 1, 2 * ROOM, now)
    usual = await pages(world, endpoint, now, message_before(1))
    async with beside_a_dump(world, endpoint, now):
        await world.fetch("vacuum pending")
        behind = await pages(world, endpoint, now, message_before(3 * ROOM + DONE))
        from_the_beginning = await pages(world, endpoint, now, FIRST)
    assert behind < 2 * usual
    assert from_the_beginning > 10 * usual, "the transaction kept nothing, so nothing is shown here"


async def test_a_look_at_all_lanes_tells_from_where_a_lane_reads_while_a_transaction_stays_open(
    world: World, lane: tuple[Application, Endpoint]
) -> None:
    endpoint, now = lane[1], datetime_at(world.clock.now())
    await fill(world, endpoint, 1, 2 * ROOM, now)
    usual = await pages(world, endpoint, now, message_before(1))
    async with beside_a_dump(world, endpoint, now):
        async with world.database.connection() as connection:
            (found,) = await load.lanes_of(connection, [endpoint.shard])
        assert found.first == UUID(int=3 * ROOM + DONE)
        assert await pages(world, endpoint, now, UUID(int=found.first.int - 1)) < 2 * usual


async def test_a_look_tells_of_no_message_where_all_was_attempted_before(
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


def message_before(number: int) -> UUID:
    return UUID(int=number - 1)
