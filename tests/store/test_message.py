"""Payloads are forgotten when their time is over, and nothing else is."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from uuid import UUID

from angarium.core import ids
from angarium.store import message
from angarium.store.database import Database

NOW = datetime(2026, 11, 20, tzinfo=UTC)
APP = UUID(int=1)
INSERT = """
insert into message (app_id, id, event_type, payload, expires_at) values ($1, $2, 'a', '{}', $3)
"""


async def test_payloads_are_forgotten_when_their_time_is_over(database: Database) -> None:
    spans = [timedelta(hours=-2), timedelta(hours=-1), timedelta(0), timedelta(hours=1)]
    made = [ids.new(NOW.timestamp(), os.urandom(8)) for _ in spans]
    async with database.connection() as conn:
        for message_id, span in zip(made, spans, strict=True):
            await conn.execute(
                INSERT,
                APP,
                message_id,
                NOW + span,
            )
        assert await message.forget_payloads(conn, NOW, 2) == 2
        kept = [await message.has_payload(conn, APP, message_id) for message_id in made]
        assert kept == [False, False, True, True]  # the oldest first
        assert await message.forget_payloads(conn, NOW, 2) == 1
        assert await message.forget_payloads(conn, NOW, 2) == 0
        found = await message.get(conn, APP, made[3])
        assert found is not None
        assert found.payload == b"{}"
        gone = await message.get(conn, APP, made[0])
        assert gone is not None
        assert gone.payload is None


async def test_two_processes_forget_beside_each_other(database: Database) -> None:
    async with database.connection() as conn:
        for _ in range(4):
            await conn.execute(
                INSERT,
                APP,
                ids.new(NOW.timestamp(), os.urandom(8)),
                NOW,
            )
    async with database.transaction() as one, database.transaction() as other:
        assert await message.forget_payloads(one, NOW, 3) == 3
        # what the one holds the other neither waits for nor counts
        assert await message.forget_payloads(other, NOW, 3) == 1
