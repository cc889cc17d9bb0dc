"""Migrates the schemas of a database: applies each numbered SQL file once.

`migrations/NNNN_control.sql` changes the control schema, `migrations/NNNN_section.sql` each section. Every
schema stores the numbers that were applied, including those without a file for it. A migration must be safe
while the previous release is running, and the previous release must run on the new schema: expand now,
contract in a later release.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from angarium.core.errors import StoreUnavailable
from angarium.store import partition
from angarium.store.connection import Connector, StoreConnection
from angarium.store.section import CONTROL
from angarium.store.sql import queries

MIGRATIONS: Final = Path(__file__).parent / "migrations"
_LOCK: Final = 0x616E6761  # the advisory lock of migrations, the same in every release


def head() -> str:
    """The version that this release needs: the number of the last file."""
    return _numbers()[-1]


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


async def migrate(url: str) -> list[str]:
    """Apply missing migrations, each number in its own transaction. Returns the numbers applied.

    Several processes may call this at the same time: one migrates, and the others wait for it. Raises
    StoreUnavailable.
    """
    connection = await _connect(url)
    try:
        await _refuse_pre_release(connection)
        await connection.execute("select pg_advisory_lock($1)", _LOCK)
        try:
            applied = await _upgrade(connection)
            if applied:
                now = datetime.fromtimestamp(await queries.database_time(connection), UTC)
                await partition.ahead(connection, now, partition.RETENTION)
            return applied
        finally:
            await connection.execute("select pg_advisory_unlock($1)", _LOCK)
    finally:
        await connection.close()


async def _upgrade(connection: StoreConnection) -> list[str]:
    had = {schema: await _applied(connection, schema) for _, schema in _schemas(connection)}
    applied = []
    for number in _numbers():
        behind = [(kind, schema) for kind, schema in _schemas(connection) if number not in had[schema]]
        if not behind:
            continue
        async with connection.transaction():
            for kind, schema in behind:
                await _apply(connection, number, kind, schema)
        applied.append(number)
    return applied


async def _apply(connection: StoreConnection, number: str, kind: str, schema: str) -> None:
    # not `if not exists`, which requires the privilege to create schemas even if the schema exists
    if not await connection.fetchval("select to_regnamespace($1) is not null", schema):
        await connection.execute(f"create schema {schema}")
    await connection.execute(
        f"create table if not exists {schema}.migration"
        " (number text primary key, applied_at timestamptz not null)"
    )
    file = MIGRATIONS / f"{number}_{kind}.sql"
    if file.exists():
        await connection.execute(connection.section.named(file.read_text()))
    await connection.execute(
        f"insert into {schema}.migration (number, applied_at) values ($1, clock_timestamp())",  # noqa: S608
        number,
    )


async def _applied(connection: StoreConnection, schema: str) -> set[str]:
    if not await connection.fetchval("select to_regclass($1) is not null", f"{schema}.migration"):
        return set()
    rows = await connection.fetch(f"select number from {schema}.migration")  # noqa: S608
    return {row["number"] for row in rows}


async def _refuse_pre_release(connection: StoreConnection) -> None:
    """Raise StoreUnavailable if the default schema has the tables of a pre-release."""
    if await connection.fetchval(
        "select to_regclass('alembic_version') is not null and to_regclass('endpoint_health') is not null"
    ):
        raise StoreUnavailable(
            "the database has the schema of a pre-release, which cannot be upgraded; use an empty database"
        )


def _schemas(connection: StoreConnection) -> tuple[tuple[str, str], ...]:
    return (("control", CONTROL), ("section", connection.section.schema))


def _numbers() -> list[str]:
    return sorted({file.name.partition("_")[0] for file in MIGRATIONS.glob("[0-9]*.sql")})


async def _connect(url: str) -> StoreConnection:
    return await Connector(url, statement_timeout=None, name="angarium migrate")()
