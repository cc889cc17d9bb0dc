"""Migrates the schemas of a database: applies each numbered SQL file once.

`migrations/NNNN_control.sql` changes the control schema, `migrations/NNNN_section.sql` each section. Every
schema stores the numbers that were applied, including those without a file for it. A migration must be safe
while the previous release is running, and the previous release must run on the new schema: expand now,
contract in a later release.

**No statement queues behind a migration.** A statement that waits for a lock blocks all statements that come
after it. So each waits at most LOCK_TIMEOUT, gives way, and is tried again after a pause.

**A floor.** A file that is marked as a contract names the oldest release that still runs on the schema
(store/migration.py). The number is stored with the schema, older processes refuse it, and the file is not
applied while sessions of such processes are connected.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, TypeVar

import asyncpg
import structlog

from angarium.core.errors import ProcessRefused, SettingsError, StoreUnavailable
from angarium.store import installation, migration, partition, release
from angarium.store.connection import Connection, Connector, StoreConnection
from angarium.store.migration import MIGRATIONS, Migration
from angarium.store.section import CONTROL
from angarium.store.sql import queries

log = structlog.get_logger(__name__)
T = TypeVar("T")

LOCK_TIMEOUT: Final = 2.0  # seconds for which other statements may queue behind one of a migration
PATIENCE: Final = 600.0  # seconds for which a migration is tried again
_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 10.0
_LOCK: Final = 0x616E6761  # the advisory lock of migrations, the same in every release


def head() -> str:
    """The version that this release needs: the number of the last file."""
    return migration.load(MIGRATIONS)[-1].number


async def current(url: str) -> str | None:
    """The version that all schemas of a database have, or None if one is missing.

    Raises StoreUnavailable.
    """
    connection = await _connect(url)
    try:
        await _refuse_pre_release(connection)
        found = [max(await _applied(connection, schema), default="") for _, schema in _schemas(connection)]
        return min(found) or None
    finally:
        await connection.close()


async def require(url: str) -> None:
    """Check that this release runs on the schema. A newer one is fine if its floor allows this release.

    Raises ProcessRefused if the schema is too new, SettingsError if it is too old, and StoreUnavailable.
    """
    connection = await _connect(url)
    try:
        await _refuse_pre_release(connection)
        await check(connection)
    finally:
        await connection.close()


async def check(connection: Connection) -> None:
    """The same over an open connection."""
    had = [await _applied(connection, schema) for _, schema in _schemas(connection)]
    if all(had):
        (await installation.read(connection)).require_release()
    needed = {one.number for one in migration.load(MIGRATIONS)}
    if not all(needed <= numbers for numbers in had):
        found = min(max(numbers, default="") for numbers in had)
        raise SettingsError(
            f"the database's schema is {found or 'missing'}, this release needs {max(needed)}; run "
            "`angarium migrate` first, or start with --migrate"
        )


async def migrate(url: str, *, patience: float = PATIENCE) -> list[str]:
    """Apply missing migrations, each number in its own transaction. Returns the numbers applied.

    Several processes may call this at the same time: one migrates, and the others wait for it. `patience`:
    seconds for which a migration is tried again when another session holds a lock that it needs. Raises
    ProcessRefused, and StoreUnavailable.
    """
    connection = await _connect(url)
    try:
        await _refuse_pre_release(connection)
        await connection.execute("select pg_advisory_lock($1)", _LOCK)
        try:
            return await _Upgrade(connection, patience).run()
        finally:
            await connection.execute("set lock_timeout = 0")
            await connection.execute("select pg_advisory_unlock($1)", _LOCK)
    finally:
        await connection.close()


class _Upgrade:
    """Applies what is missing over one connection, which holds the lock of migrations."""

    def __init__(self, connection: StoreConnection, patience: float) -> None:
        self._connection = connection
        self._patience = patience

    async def run(self) -> list[str]:
        connection, applied = self._connection, []
        had = {schema: await _applied(connection, schema) for _, schema in _schemas(connection)}
        if all(had.values()):
            (await installation.read(connection)).require_release()
        await self._limit(LOCK_TIMEOUT)
        for one in migration.load(MIGRATIONS):
            behind = [
                (kind, schema) for kind, schema in _schemas(connection) if one.number not in had[schema]
            ]
            if behind:
                await self._apply(one, behind)
                applied.append(one.number)
        if applied:
            now = datetime.fromtimestamp(await queries.database_time(connection), UTC)
            await self._patiently("partitions", lambda: partition.ahead(connection, now, partition.RETENTION))
        return applied

    async def _apply(self, one: Migration, behind: list[tuple[str, str]]) -> None:
        if one.contract is not None:
            await self._refuse_with_older(one.number, one.contract)
        if one.concurrently:
            for kind, schema in behind:
                for statement in migration.statements(one.texts.get(kind, "")):
                    await self._run_alone(one.number, schema, statement)

        async def write() -> None:
            async with self._connection.transaction():
                for kind, schema in behind:
                    await self._prepare(schema)
                    if not one.concurrently and (text := one.texts.get(kind)):
                        await self._connection.execute(self._connection.section.named(text))
                    await self._connection.execute(
                        f"insert into {schema}.migration (number, applied_at)"  # noqa: S608
                        " values ($1, clock_timestamp())",
                        one.number,
                    )
                if one.contract is not None:
                    await installation.raise_floor(self._connection, one.contract)

        await self._patiently(one.number, write)

    async def _prepare(self, schema: str) -> None:
        # not `if not exists`, which requires the privilege to create schemas even if the schema exists
        if not await self._connection.fetchval("select to_regnamespace($1) is not null", schema):
            await self._connection.execute(f"create schema {schema}")
        await self._connection.execute(
            f"create table if not exists {schema}.migration"
            " (number text primary key, applied_at timestamptz not null)"
        )

    async def _run_alone(self, number: str, schema: str, statement: str) -> None:
        """Run a statement outside a transaction. It may wait long if it is concurrent: it waits for older
        transactions, and blocks none."""
        text = self._connection.section.named(statement)
        concurrent = " concurrently " in f" {' '.join(text.lower().split())} "
        await self._limit(self._patience if concurrent else LOCK_TIMEOUT)

        async def run() -> None:
            if (index := migration.index_of(statement)) is not None:
                await self._drop_invalid(schema, index)
            await self._connection.execute(text)

        try:
            await self._patiently(number, run)
        finally:
            await self._limit(LOCK_TIMEOUT)

    async def _drop_invalid(self, schema: str, index: str) -> None:
        """An interrupted `create index concurrently` leaves an index that is written to but never read."""
        invalid = await self._connection.fetchval(
            "select true from pg_index where indexrelid = to_regclass($1) and not indisvalid",
            f"{schema}.{index}",
        )
        if invalid:
            log.warning("migration.index_dropped", schema=schema, index=index)
            await self._connection.execute(f"drop index concurrently if exists {schema}.{index}")

    async def _refuse_with_older(self, number: str, oldest: str) -> None:
        """Raise ProcessRefused while sessions of releases before `oldest` are connected."""
        found: Counter[str] = Counter()
        async for row in queries.release_sessions(self._connection):
            version = release.of_session(row["application_name"])
            if version is not None and release.is_older(version, oldest):
                found[version] += 1
        if found:
            named = ", ".join(f"{version} ({count})" for version, count in sorted(found.items()))
            raise ProcessRefused(
                f"migration {number} removes what releases before {oldest} use, and sessions of these are "
                f"connected: {named}; stop these processes, then migrate"
            )

    async def _limit(self, seconds: float) -> None:
        await self._connection.execute(f"set lock_timeout = {round(seconds * 1000)}")

    async def _patiently(self, number: str, work: Callable[[], Awaitable[T]]) -> T:
        """Do something again while another session holds a lock that it needs."""
        ends_at, pause = time.monotonic() + self._patience, _FIRST_PAUSE
        while True:
            try:
                return await work()
            except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
                if time.monotonic() > ends_at:
                    raise StoreUnavailable(
                        f"migration {number} got no lock within {self._patience:g} s: {error}; end the "
                        "transactions that hold it (pg_locks, pg_stat_activity), then migrate again"
                    ) from error
                log.warning("migration.waiting", number=number, error=str(error))
            # at random, so that it does not meet the same periodic work each time
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 (not for security)
            pause = min(pause * 2, _LONGEST_PAUSE)


async def _applied(connection: Connection, schema: str) -> set[str]:
    if not await connection.fetchval("select to_regclass($1) is not null", f"{schema}.migration"):
        return set()
    rows = await connection.fetch(f"select number from {schema}.migration")  # noqa: S608
    return {row["number"] for row in rows}


async def _refuse_pre_release(connection: StoreConnection) -> None:
    """Raise StoreUnavailable if the database has the tables of a pre-release."""
    if await connection.fetchval(
        "select (to_regclass('alembic_version') is not null and to_regclass('endpoint_health') is not null)"
        " or (to_regclass($1) is not null and to_regclass($2) is null)",
        f"{CONTROL}.migration",
        f"{CONTROL}.installation",
    ):
        raise StoreUnavailable(
            "the database has the schema of a pre-release, which cannot be upgraded; use an empty database"
        )


def _schemas(connection: Connection) -> tuple[tuple[str, str], ...]:
    return ((migration.CONTROL_FILE, CONTROL), (migration.SECTION_FILE, connection.section.schema))


async def _connect(url: str) -> StoreConnection:
    return await Connector(url, statement_timeout=None, name=release.session_name("migrate"))()
