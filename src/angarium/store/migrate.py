"""Bring a database's schema to this release: Alembic keeps the order, plain SQL does the work.

Rules for a migration: safe while the previous release is running (expand now, contract in a later release),
and the previous release must run on the new schema. `migrations/versions/NNNN_word.py` says what it
follows and hands out `migrations/NNNN_word.sql`; nothing needs Alembic's own environment.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from angarium.core.errors import StoreUnavailable
from angarium.store import partition
from angarium.store.connection import Connector
from angarium.store.sql import queries

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

MIGRATIONS: Final = Path(__file__).parent / "migrations"
FIRST: Final = "1001"  # what begins with a smaller number is of a pre-release
_LOCK: Final = 0x616E6761  # the advisory lock of migrations, the same in every release


def head() -> str:
    """The revision this release needs: the last file, by number (Alembic is slow to import)."""
    return max(path.stem for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


async def current(url: str) -> str | None:
    """The revision of a database, or None when it has no schema. Raises StoreUnavailable."""
    connection = await _connect(url)
    try:
        return await _current(connection)
    finally:
        await connection.close()


async def migrate(url: str) -> list[str]:
    """Apply what is missing, each migration in a transaction of its own; returns the revisions applied.

    Any number of processes may call this at once: one works, the others wait and find nothing to do.
    Raises StoreUnavailable.
    """
    connection = await _connect(url)
    try:
        if await _current(connection) == head():
            return []
        await connection.execute("select pg_advisory_lock($1)", _LOCK)
        try:
            applied = await _upgrade(connection)
            now = datetime.fromtimestamp(await queries.database_time(connection), UTC)
            await partition.ahead(connection, now, partition.RETENTION)
            return applied
        finally:
            await connection.execute("select pg_advisory_unlock($1)", _LOCK)
    finally:
        await connection.close()


async def _upgrade(connection: Any) -> list[str]:
    applied = []
    start = await _current(connection)
    if start is not None and start < FIRST:
        raise StoreUnavailable(
            f"the database has the schema of a pre-release ({start}), which cannot be upgraded; "
            "use an empty database"
        )
    for script in _missing(start):
        async with connection.transaction():
            await connection.execute(
                "create table if not exists alembic_version (version_num varchar(32) not null primary key)"
            )
            await connection.execute(script.module.sql())
            await connection.execute("delete from alembic_version")
            await connection.execute("insert into alembic_version (version_num) values ($1)", script.revision)
        applied.append(script.revision)
    return applied


def _missing(start: str | None) -> list[Any]:
    """The scripts after `start`, oldest first, in the order that Alembic works out from their links."""
    return list(reversed(list(_scripts().iterate_revisions("head", start or "base"))))


def _scripts() -> ScriptDirectory:
    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(MIGRATIONS))


async def _current(connection: Any) -> str | None:
    try:
        found = await connection.fetchval("select max(version_num) from alembic_version")
    except asyncpg.UndefinedTableError:
        return None
    return None if found is None else str(found)


async def _connect(url: str) -> Any:
    return await Connector(url, statement_timeout=None, name="angarium migrate")()
