"""One PostgreSQL for the whole test run, and a database of its own for every test.

`database_url` and `database` give a test a fresh clone of a migrated template; making one takes a few
hundredths of a second. `postgres` is the server, for tests that need to talk to it as its owner.

`ANGARIUM_TEST_POSTGRESQL=15` runs the tests on Debian's PostgreSQL 15 instead of the embedded one.
"""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import psycopg
import pytest
import structlog
from hypothesis import HealthCheck, settings

from angarium.clock import datetime_at
from angarium.store import partition, postmaster
from angarium.store.connection import Connector
from angarium.store.database import Database
from angarium.store.embedded import EmbeddedPostgres
from angarium.store.migrate import migrate
from angarium.store.section import CONTROL, FIRST
from tests.kit import debian
from tests.kit.clock import ManualClock
from tests.kit.schemas import find_tables
from tests.kit.world import World

TEMPLATE = "angarium_template"
STANDING = "angarium_standing"
"""The same with the partitions that maintenance makes when a dispatcher starts at the time of `ManualClock`:
making them takes as long as all else that a test with a dispatcher sets up."""
ALL_AUDIT = f"""
create view public.all_audit as
select * from {FIRST.schema}.audit union all select * from {CONTROL}.audit
"""
SERVER = os.environ.get("ANGARIUM_TEST_POSTGRESQL")
"""The server's major version; None: the embedded one."""

if SERVER is not None:
    assert SERVER == "15", "ANGARIUM_TEST_POSTGRESQL is 15, or not set"
    programs = debian.ensure(str(debian.POSTGRESQL_15 / "postgres")).parent
    postmaster._installed = lambda pgdata: programs

# by default a traceback is drawn with the values of all variables, which takes seconds of computing
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ],
    logger_factory=structlog.PrintLoggerFactory(sys.stderr),
)

gc.disable()  # until everything is imported

# how long an example takes, or drawing one, says how busy this machine is
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")

# begun first, so that nothing is waited for at the end when files are shared out among processes
LONGEST = (
    "faults/test_storm.py", "server/test_probe.py", "faults/test_rolling.py",
    "e2e/test_fuzz.py", "monitoring/test_dashboard.py", "faults/test_upgrade.py", "e2e/test_error.py",
    "portal/browser/test_story.py", "faults/test_recover.py",
    "cli/test_serve.py", "cli/test_dev.py", "faults/test_overload.py", "cli/test_profile.py",
    "portal/browser/test_page.py", "core/test_lane_simulation.py", "faults/test_share.py",
    "faults/test_neighbour.py", "faults/test_owner.py", "faults/test_stop.py", "faults/test_kill.py",
    "faults/test_database.py", "cli/test_listen.py", "e2e/test_sdk.py", "dialects/test_bloom_delivery.py",
    "dialects/test_bluum_command.py", "dispatch/test_sender.py", "dialects/test_bluma_delivery.py",
    "portal/browser/test_message.py", "portal/test_live.py", "dialects/test_bluum.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    place = {here / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path, len(LONGEST)))


def pytest_collection_finish() -> None:
    """What is imported by now is never garbage: looking at it again and again was a tenth of all the work."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    gc.enable()


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL without fsync, with a migrated template database, in a short-named directory."""
    directory = Path(tempfile.mkdtemp(prefix="angarium-test-", dir=_memory()))

    async def start() -> EmbeddedPostgres:
        server = await EmbeddedPostgres.start(directory, durable=False)
        owner = await asyncpg.connect(server.url("postgres"))
        await owner.execute(f"create database {TEMPLATE}")
        await find_tables(owner)
        await migrate(server.url(TEMPLATE))
        template = await asyncpg.connect(server.url(TEMPLATE))
        await template.execute(ALL_AUDIT)
        await template.close()
        await owner.execute(f"create database {STANDING} template {TEMPLATE} strategy file_copy")
        await owner.close()
        standing = await Connector(server.url(STANDING), statement_timeout=None)()
        await partition.ahead(standing, datetime_at(ManualClock().now()), partition.RETENTION)
        await standing.close()
        return server

    try:
        server = asyncio.run(start())
        yield server
        asyncio.run(server.stop())
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _memory() -> str | None:
    """Where files are in memory, if there is room: a clone then takes hundredths of a second."""
    memory = Path("/dev/shm")
    if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2 * 1024**3:
        return str(memory)
    return None


@pytest.fixture
def directory() -> Iterator[Path]:
    """For a data directory. pytest's own is closed to others, and root's PostgreSQL runs as another."""
    name = tempfile.mkdtemp(prefix="angarium-test-", dir=_memory())
    yield Path(name)
    shutil.rmtree(name, ignore_errors=True)


@pytest.fixture(scope="session")
def clones(postgres: EmbeddedPostgres) -> Iterator[Clones]:
    clones = Clones(postgres)
    yield clones
    clones.close()


@pytest.fixture
def empty_database_url(clones: Clones) -> Iterator[str]:
    """A database without a schema."""
    with clones.of("template1") as url:
        yield url


@pytest.fixture
def database_url(clones: Clones) -> Iterator[str]:
    """A migrated, empty database of the test's own, dropped afterwards."""
    with clones.of(TEMPLATE) as url:
        yield url


@pytest.fixture
def database_with_partitions_url(clones: Clones) -> Iterator[str]:
    """The same with the partitions that a dispatcher makes first, by the time of `ManualClock`."""
    with clones.of(STANDING) as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The same with a pool, in the test's own event loop."""
    database = await Database.connect(database_url)
    yield database
    await database.close()


@pytest.fixture
async def world(database: Database) -> World:
    """One process's worth of Angarium over that database, without the API."""
    return World(database)


class Clones:
    """Makes databases and drops them, over one connection for all tests: opening one for each statement would
    take as long as the statement."""

    def __init__(self, postgres: EmbeddedPostgres) -> None:
        self._postgres = postgres
        self._connection = self._connected()

    def _connected(self) -> psycopg.Connection:
        return psycopg.connect(self._postgres.url("postgres"), autocommit=True)

    def close(self) -> None:
        self._connection.close()

    def _execute(self, statement: str) -> None:
        try:
            self._connection.execute("select 1")
        except psycopg.OperationalError:  # a test cut all connections
            self._connection = self._connected()
        self._connection.execute(statement.encode())

    @contextmanager
    def of(self, template: str) -> Iterator[str]:
        """A clone of a database as long as the context lasts; gives its URL."""
        name = f"test_{uuid.uuid4().hex}"
        # copies files, which is faster than writing the template's pages into the log
        self._execute(f"create database {name} template {template} strategy file_copy")
        try:
            yield self._postgres.url(name)
        finally:
            self._execute(f"drop database {name} with (force)")
