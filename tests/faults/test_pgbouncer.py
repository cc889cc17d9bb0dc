"""Angarium behind a real PgBouncer, in session and in transaction mode.

It is the one on the PATH, else Debian's, 1.18. From 1.21 on it keeps prepared statements in transaction mode,
and what is said of that is tested where it is there.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from angarium.store.database import Database
from angarium.store.fault import DatabaseFault
from tests.faults.harness import client, servers, until_delivered
from tests.kit.pgbouncer import SERVERS, PgBouncer, version
from tests.kit.receiver import Receiver
from tests.kit.world import World

DELIVERED = 0
BATCHES = 10
KEEPS_PREPARED = version() >= (1, 21)
SETTINGS = [None, 0, 200] if KEEPS_PREPARED else [None]
"""max_prepared_statements; None: not set. With it our own setting can be on."""


async def _deliver(database: Database) -> None:
    """Messages in many batches, to a free and to a fifo endpoint."""
    world = World(database)
    app = await world.application()
    async with Receiver() as receiver, world.dispatching() as dispatcher:
        await world.endpoint(app, receiver.url)
        await world.endpoint(app, receiver.url, fifo=True)
        async with world.intake(dispatcher.hand_over) as intake:
            for batch in range(BATCHES):
                await intake.accept_many([world.draft(app, b"%d" % (batch * 20 + n)) for n in range(20)])
        await world.until_states({DELIVERED: 2 * BATCHES * 20})
        assert set(Counter(request.body for request in receiver.requests).values()) == {2}


async def _pids(database: Database, count: int) -> set[int]:
    """The servers' processes behind so many connections at once."""

    async def one(_: int) -> int:
        async with database.connection() as connection:
            return int(await connection.fetchval("select pg_backend_pid() from pg_sleep(0.05)"))

    return set(await asyncio.gather(*map(one, range(count))))


async def test_session_mode_needs_no_setting(database_url: str) -> None:
    async with PgBouncer(database_url, "session", servers=30) as bouncer:
        database = await Database.connect(bouncer.url)
        await _deliver(database)
        async with database.connection() as connection:
            assert await connection.fetchval("show statement_timeout") == "25s"
        await database.close()


@pytest.mark.parametrize("prepared", SETTINGS)
async def test_transaction_mode_needs_a_second_address(database_url: str, prepared: int | None) -> None:
    async with PgBouncer(database_url, "transaction", prepared=prepared) as bouncer:
        database = await Database.connect(bouncer.url, direct_url=database_url, prepared=bool(prepared))
        assert len(await _pids(database, 10)) <= SERVERS, "connections share those of PgBouncer"
        await _deliver(database)
        async with database.connection() as connection:
            assert await connection.fetchval("show statement_timeout") == "0", (
                "nothing is set on what is shared"
            )
        await database.close()


async def test_without_its_support_prepared_statements_must_be_off(database_url: str) -> None:
    """Statements of one connection are asked for on another: the reason for the setting."""
    async with PgBouncer(database_url, "transaction", prepared=0 if KEEPS_PREPARED else None) as bouncer:
        database = await Database.connect(bouncer.url, direct_url=database_url)
        with pytest.raises(DatabaseFault):
            await _pids(database, 10)
        await database.close()


@pytest.mark.parametrize("prepared", SETTINGS)
async def test_a_server_works_behind_it(directory: Path, database_url: str, prepared: int | None) -> None:
    variables: dict[str, Any] = {
        "ANGARIUM_DATABASE_DIRECT_URL": database_url,
        "ANGARIUM_DATABASE_PREPARED_STATEMENTS": "true" if prepared else "false",
    }
    async with (
        PgBouncer(database_url, "transaction", prepared=prepared) as bouncer,
        Receiver() as receiver,
        servers(directory) as started,
    ):
        server = await started.serve(bouncer.url, "--migrate", **variables)
        async with client(server) as api:
            await api.app("one", receiver.url)
            await api.load("one", 200)
            await until_delivered(api.accepted, receiver)
            async with api.session.get(f"{server.url}/api/v1/health") as answer:
                assert answer.status == 200
        bodies = Counter(request.header("webhook-id") for request in receiver.requests)
        assert set(bodies) == api.accepted
        assert set(bodies.values()) == {1}
        assert await server.terminate() == 0
