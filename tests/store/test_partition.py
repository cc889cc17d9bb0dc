"""Partitions are created when they are missing, one at a time, and dropped without a long wait for others."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest
import structlog

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.nouns import Application
from angarium.store import accept, partition
from angarium.store.connection import Connection
from angarium.store.database import Database
from tests.kit.patience import until
from tests.kit.world import World

FAR = datetime(2033, 5, 1, 12, tzinfo=UTC)  # no migration made partitions for it
_NAMES = "select relname from pg_class where relispartition and relkind = 'r' and relname ~ $1 order by 1"
_WAITING = "select count(*) from pg_locks where locktype = 'advisory' and objid = 4294967294 and not granted"


def item(app: Application, at: datetime, kept: timedelta = timedelta(days=90)) -> accept.Item:
    return accept.Item(
        id=ids.new(at.timestamp(), os.urandom(8)), org_id=app.org_id, app=ids.text(ids.APPLICATION, app.id),
        event_type="a.b", payload=b"{}", event_id=None, channels=(), tags=(), expires_at=at + kept, key=None,
        endpoint_id=None, due_at=at.timestamp(),
    )  # fmt: skip


async def names(connection: Connection, pattern: str) -> list[str]:
    return [row[0] for row in await connection.fetch(_NAMES, pattern)]


@pytest.mark.parametrize("in_transaction", [False, True])
async def test_a_message_creates_its_missing_partition(world: World, in_transaction: bool) -> None:
    app = await world.application()
    held = world.database.transaction() if in_transaction else world.database.connection()
    async with held as connection:
        for _ in range(2):
            stored, _ = await accept.accept(connection, [item(app, FAR)], FAR.timestamp())
            assert stored[0].stored
        assert await names(connection, "_2033") == [
            "attempt_20330501",
            "message_20330501",
            "payload_20330730",
        ]


async def test_concurrent_messages_create_one_partition(world: World) -> None:
    app = await world.application()

    async def put() -> None:
        async with world.database.connection() as connection:
            stored, _ = await accept.accept(connection, [item(app, FAR)], FAR.timestamp())
            assert stored[0].stored

    await asyncio.gather(*(put() for _ in range(5)))
    (row,) = await world.fetch("select count(*) from message")
    assert row[0] == 5


async def test_a_new_partition_is_used_only_after_its_creation_has_finished(database: Database) -> None:
    """Sessions hear of a new partition a moment after others can see that it is there."""
    message_id = ids.new(FAR.timestamp(), os.urandom(8))

    async def cover() -> None:
        async with database.connection() as connection:
            await partition.cover(connection, [message_id])

    await cover()
    async with database.connection() as looking:
        async with database.transaction() as maker:
            await maker.execute("select pg_advisory_xact_lock(1097755489, -2)")
            again = asyncio.create_task(cover())

            async def waits() -> bool:
                return bool(await looking.fetchval(_WAITING)) or again.done()

            await until(waits, "the second waits for the lock")
            assert not again.done()
        await again


async def test_a_partition_that_was_dropped_is_created_again(world: World) -> None:
    """By a process that sees the day as over."""
    one = item(await world.application(), FAR)
    made = 0

    async with world.database.connection() as connection:

        async def write() -> None:
            await connection.execute(
                "insert into payload (message_id, expires_at, body) values ($1, $2, '')",
                one.id,
                one.expires_at,
            )

        async def cover() -> None:
            nonlocal made
            made += 1
            await partition.cover(connection, [one.id], [one.expires_at])
            if made == 1:
                await partition.drop(connection, FAR + timedelta(days=400), timedelta(0), 1000)

        await partition.covered(connection, write, cover)
    assert made == 2


async def test_a_partition_in_use_is_kept_and_blocks_no_statement(world: World) -> None:
    app = await world.application()
    now = datetime_at(world.clock.now())
    old = now - timedelta(days=100)
    async with world.database.connection() as connection:
        await accept.accept(connection, [item(app, old)], old.timestamp())
        name = f"message_{old:%Y%m%d}"
        async with world.database.transaction() as dump:
            await dump.execute("select count(*) from message")
            dropped = asyncio.create_task(partition.drop(connection, now, timedelta(days=90), 10))
            for _ in range(20):
                async with world.database.connection() as other:
                    stored, _ = await accept.accept(other, [item(app, now)], now.timestamp())
                    assert stored[0].stored
            await dropped
            assert await names(dump, name) == [name]
        await partition.drop(connection, now, timedelta(days=90), 10)
        assert await names(connection, name) == []
        assert await connection.fetchval("select count(*) from message") == 20


@pytest.mark.parametrize("parent", ["message", "attempt", "payload"])
async def test_a_session_that_does_not_find_a_partition_that_exists_reads_the_table_again(
    database: Database, parent: str
) -> None:
    missing = asyncpg.CheckViolationError()
    missing.table_name, missing.constraint_name = parent, None
    errors = iter([missing, missing])
    covered = 0

    async def write() -> str:
        for error in errors:
            raise error
        return "written"

    async def cover() -> None:
        nonlocal covered
        covered += 1

    version = "select xmin from pg_attribute where attrelid = $1::text::regclass and attnum = 1"
    async with database.connection() as connection:
        before = await connection.fetchval(version, f"angarium_1.{parent}")
        with structlog.testing.capture_logs() as logged:
            assert await partition.covered(connection, write, cover) == "written"
        assert await connection.fetchval(version, f"angarium_1.{parent}") != before
    assert covered == 2
    assert [(one["event"], one["table"]) for one in logged] == [("partition.unseen", parent)]


def test_a_day_begins_and_ends_at_midnight_utc() -> None:
    last = ids.new(datetime(2026, 12, 31, 23, 59, 59, 999000, tzinfo=UTC).timestamp(), os.urandom(8))
    first = ids.new(datetime(2027, 1, 1, tzinfo=UTC).timestamp(), os.urandom(8))
    assert [partition._day_of(one).day for one in (last, first)] == [31, 1]
    assert last < UUID(partition._bound_of_ids(datetime(2027, 1, 1, tzinfo=UTC))) <= first
