"""What is done for every message costs the same however many days of history there are."""

from __future__ import annotations

from datetime import timedelta

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.store import partition
from angarium.store.connection import Connector
from angarium.store.database import Database
from bench.hot import Scene
from tests.kit.crowd import DAY, NOW

DAYS = 90
ROOM = 64  # locks that a session of PostgreSQL 18 keeps by itself


async def _locks(database: Database, days: int) -> dict[tuple[str, bool], int]:
    """How many locks each hot verb takes in a new session beside so many days of history, with the plans that
    PostgreSQL chooses (False) and generic ones (True)."""
    connection = await Connector(database.url, statement_timeout=None)()
    try:
        now = datetime_at(NOW)
        ages = [NOW - day * DAY for day in range(-1, days)]
        expiries = [datetime_at(at) + timedelta(days=2) for at in ages]
        await partition.cover(connection, [ids.lowest(at) for at in ages], [*expiries, now])
        scene = Scene(database)
        await scene.prepare(connection)
        for generic in (False, True):
            await scene.round(generic=generic, look=True)
        return {name: call.locks for name, call in scene.calls.items()}
    finally:
        await connection.close()


async def test_no_hot_statement_locks_more_beside_a_long_history(database: Database) -> None:
    few = await _locks(database, 4)
    many = await _locks(database, DAYS)
    assert many == few
    assert max(many.values()) < ROOM
