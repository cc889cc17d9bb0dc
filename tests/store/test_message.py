"""A payload ends apart from its message: when it expires, or when it is expunged."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from angarium.core import ids
from angarium.store import load, message, partition
from angarium.store.database import Database
from angarium.store.message import Filter, IdRange
from tests.kit.rows import add_message

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
APP = UUID(int=1)
EVERYTHING = IdRange(UUID(int=0), UUID(int=(1 << 128) - 1), 50)


def expiry(n: int) -> datetime:
    return NOW + timedelta(days=min(n + 1, 4))


@pytest.fixture
async def made(database: Database) -> list[UUID]:
    """Messages whose payloads expire on several days, two of them on the last."""
    made = [ids.new(NOW.timestamp() + n, os.urandom(8)) for n in range(5)]
    async with database.connection() as conn:
        for n, message_id in enumerate(made):
            body = b'{"n": %d}' % n
            await add_message(conn, APP, message_id, payload=body, expires_at=expiry(n))
    return made


async def test_each_message_is_read_with_its_payload_or_without(database: Database, made: list[UUID]) -> None:
    async with database.connection() as conn:
        page = await message.page(conn, APP, EVERYTHING, Filter(), NOW, with_payload=True)
        assert [(one.id, one.payload) for one in page[::-1]] == [
            (message_id, b'{"n": %d}' % n) for n, message_id in enumerate(made)
        ]
        page = await message.page(conn, APP, EVERYTHING, Filter(), NOW, with_payload=False)
        assert [one.payload for one in page] == [None] * 5
        found = await message.get(conn, APP, made[2], NOW)
        assert found is not None
        assert found.payload == b'{"n": 2}'
        bare = await message.get(conn, APP, made[2], NOW, with_payload=False)
        assert bare is not None
        assert bare.payload is None
        assert await message.get(conn, UUID(int=2), made[2], NOW) is None
        assert await message.has_payload(conn, UUID(int=2), made[2], NOW) is None


async def test_an_expired_payload_is_gone_and_its_message_stays(database: Database, made: list[UUID]) -> None:
    async with database.connection() as conn:
        assert await partition.drop(conn, NOW + timedelta(days=3), timedelta(days=90), 100) == 2
        assert [await message.has_payload(conn, APP, one, NOW) for one in made] == [False] * 2 + [True] * 3
        page = await message.page(conn, APP, EVERYTHING, Filter(), NOW, with_payload=True)
        assert [one.payload is None for one in page] == [False] * 3 + [True] * 2


async def test_expunging_a_payload_leaves_others(database: Database, made: list[UUID]) -> None:
    async with database.connection() as conn:
        assert not await message.expunge(conn, UUID(int=2), made[3]), "the message of another application"
        assert await message.has_payload(conn, APP, made[3], NOW)
        assert await message.expunge(conn, APP, made[3])
        assert await message.expunge(conn, APP, made[3]), "the message is still there"
        assert [await message.has_payload(conn, APP, one, NOW) for one in made] == [True] * 3 + [False, True]


async def test_payloads_are_found_by_message_and_time_together(database: Database, made: list[UUID]) -> None:
    expiries = {one: expiry(n) for n, one in enumerate(made)}
    async with database.connection() as conn:
        assert await message.kept(conn, expiries, NOW) == set(made)
        assert await message.kept(conn, expiries | {made[0]: expiry(1)}, NOW) == set(made[1:])
        assert await message.bodies(conn, {}, NOW) == {}


async def test_an_expired_payload_is_not_read_while_it_is_still_stored(
    database: Database, made: list[UUID]
) -> None:
    at = expiry(1)
    async with database.connection() as conn:
        assert [await message.has_payload(conn, APP, one, at) for one in made] == [False] * 2 + [True] * 3
        found = await message.get(conn, APP, made[1], at)
        assert found is not None
        assert found.payload is None
        page = await message.page(conn, APP, EVERYTHING, Filter(), at, with_payload=True)
        assert [one.payload is None for one in page] == [False] * 3 + [True] * 2
        for one in made:
            await conn.execute(
                "insert into pending (shard, endpoint_id, message_id, app_id, due_at)"
                " values (1, $1, $2, $1, $3)",
                APP, one, NOW,
            )  # fmt: skip
        loaded, _ = await load.load(conn, [load.Wanted(APP, 1, fifo=False, room=9)], at)
        assert {one.message_id: one.payload is None for one in loaded} == {
            one: n < 2 for n, one in enumerate(made)
        }
        assert await conn.fetchval("select count(*) from payload") == 5
