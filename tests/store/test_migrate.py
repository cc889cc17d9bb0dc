from __future__ import annotations

import asyncio

from angarium.store.database import Database
from angarium.store.migrate import current, head, migrate


async def test_an_empty_database_has_no_revision_and_is_brought_to_head(empty_database_url: str) -> None:
    assert await current(empty_database_url) is None
    assert (await migrate(empty_database_url))[-1] == head()
    assert await current(empty_database_url) == head()


async def test_migrating_twice_does_nothing_the_second_time(database_url: str) -> None:
    assert await migrate(database_url) == []


async def test_concurrent_migrations_apply_each_file_once(empty_database_url: str) -> None:
    done = await asyncio.gather(*(migrate(empty_database_url) for _ in range(4)))
    assert sorted(map(len, done))[:3] == [0, 0, 0]
    assert await current(empty_database_url) == head()


async def test_a_test_database_has_the_schema_and_its_json_works(database: Database) -> None:
    async with database.transaction() as connection:
        assert await connection.fetchval("select count(*) from message") == 0
        assert await connection.fetchval("select $1::jsonb", {"a": [1]}) == {"a": [1]}


async def test_payloads_are_not_compressed_by_the_slow_method(database: Database) -> None:
    async with database.connection() as connection:
        stored = await connection.fetchval(
            "select attstorage::text || attcompression::text from pg_attribute"
            " where attrelid = 'payload'::regclass and attname = 'body'"
        )
    assert stored in ("xl", "e")  # with lz4, or as it is where PostgreSQL was built without
