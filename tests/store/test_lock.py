"""Statements that concern few days of the history lock few of its partitions, however many there are: the
first time, and once PostgreSQL has kept a plan. (In between it plans once for any values, to compare.)"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Final

import pytest

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.lifecycle import Move
from angarium.core.outcome import AttemptResult
from angarium.store import accept, complete, fan_out, overdue, partition
from angarium.store.accept import Item
from angarium.store.complete import Completion
from angarium.store.connection import Connection, Connector
from angarium.store.database import Database
from angarium.store.retention import LANES, Position, Retention
from tests.kit import many
from tests.kit.crowd import DAY, NOW
from tests.kit.world import ORG, World

DAYS: Final = 90  # 99 partitions of each table with those made ahead, and six locks for each of attempt
TIMES: Final = 8  # after five calls PostgreSQL may keep a plan for any values
FEW: Final = 64  # locks that a session of PostgreSQL 18 keeps by itself
_LOCKS: Final = """
select count(*) from pg_locks l join pg_class c on c.oid = l.relation
where l.pid = pg_backend_pid() and c.relnamespace::regnamespace::text like 'angarium%'
"""


class _Undone(Exception):
    """Ends a transaction."""


async def complete_late(world: World, connection: Connection) -> None:
    """An outcome of a delivery that left the queue meanwhile."""
    message_id, endpoint_id = (ids.new(NOW - 3600, os.urandom(8)) for _ in range(2))
    await connection.execute(
        "insert into application (id, org_id, name, created_at, updated_at) values ($1, 'a', 'a', $2, $2)",
        message_id, datetime_at(NOW),
    )  # fmt: skip
    late = Completion(
        attempt_id=ids.new(NOW, os.urandom(8)), app_id=message_id, endpoint_id=endpoint_id,
        message_id=message_id, move=Move.DELIVER, failures=0, number=1, due_at=None, manual_at=None,
        answer=AttemptResult(200, None, None, b"ok", 12), succeeded=True, revision=1,
    )  # fmt: skip
    await complete.complete(connection, [late], [])
    assert await connection.fetchval("select count(*) from attempt where message_id = $1", message_id) == 1


async def end_lanes(world: World, connection: Connection) -> None:
    """What is queued is canceled before the day of its message is dropped."""
    for rule in LANES:
        await rule.end(connection, Retention(), datetime_at(NOW), Position())


async def backlogs(world: World, connection: Connection) -> None:
    """How fast a customer's endpoints are sent to."""
    await overdue.endpoints(connection, ids.lowest(NOW), [ids.lowest(NOW)], NOW)


async def slices(world: World, connection: Connection) -> None:
    """A large message whose deliveries are written."""
    app = await world.application()
    await many.endpoints(connection, app, accept.BASE + 100)
    at = datetime_at(NOW) + timedelta(days=1)
    large = Item(
        id=ids.new(NOW, os.urandom(8)), org_id=ORG, app=ids.text(ids.APPLICATION, app.id), event_type="a",
        payload=b"{}", event_id=None, channels=(), tags=(), expires_at=at, key=None, endpoint_id=None,
        due_at=NOW,
    )  # fmt: skip
    ((stored,), _) = await accept.accept(connection, [large], NOW)
    assert stored.late
    held = await fan_out.claim(connection, app.id, fan_out.MESSAGES)
    assert held
    assert len(await fan_out.write_slice(connection, app.id, held, NOW)) == fan_out.ROOM + 1
    assert await fan_out._bodies(connection, held, NOW)


LOOKS: Final[dict[str, tuple[Callable[[World, Connection], Awaitable[None]], int]]] = {
    "complete late": (complete_late, FEW),
    "end lanes": (end_lanes, 2 * FEW),
    "backlogs": (backlogs, 2 * FEW),  # of two weeks
    "slices": (slices, FEW),
}


@pytest.fixture
async def history(database: Database) -> Database:
    async with database.connection() as connection:
        ages = [NOW - day * DAY for day in range(-1, DAYS)]
        expiries = [datetime_at(at) + timedelta(days=2) for at in ages]
        await partition.cover(connection, [ids.lowest(at) for at in ages], expiries)
    return database


async def test_a_statement_about_few_days_locks_few_partitions(history: Database) -> None:
    world = World(history)
    most = {}
    for name, (look, _) in LOOKS.items():
        connection = await Connector(history.url, statement_timeout=None)()
        held = []
        try:
            for _ in range(TIMES):
                with suppress(_Undone):
                    async with connection.transaction():
                        await look(world, connection)
                        held.append(await connection.fetchval(_LOCKS))
                        raise _Undone
        finally:
            await connection.close()
        most[name] = max(held[0], held[-1])
    assert not {name: count for name, count in most.items() if count > LOOKS[name][1]}
