from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

import angarium
from angarium.core.errors import ProcessRefused, SettingsError, StoreUnavailable
from angarium.store import migrate as module
from angarium.store import release
from angarium.store.connection import Connector
from angarium.store.database import Database
from angarium.store.fault import StatementFailed
from angarium.store.guard import LOOK, Guard
from angarium.store.migrate import LOCK_TIMEOUT, current, head, migrate, require
from angarium.store.migration import load, statements
from tests.kit.patience import PATIENCE
from tests.kit.release import with_more


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


# locks


async def test_others_do_not_queue_behind_a_migration_that_waits_for_a_lock(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(monkeypatch, tmp_path, {"0002_section.sql": "alter table section.application add column plan text;"})
    async with connected(database_url) as other, connected(database_url) as reader:
        async with other.transaction():
            await other.execute("select from application")
            migrating = asyncio.create_task(migrate(database_url))
            waited: list[float] = []
            begun = time.monotonic()
            # the lock is held for five seconds, and until the migration has stood in the way
            while time.monotonic() < begun + (5 if max(waited, default=0) > 1 else PATIENCE):
                asked_at = time.monotonic()
                await reader.execute("select from application")
                waited.append(time.monotonic() - asked_at)
            assert not migrating.done()
        assert await migrating == ["0002"]
        assert 1.0 < max(waited) < LOCK_TIMEOUT + 2.5  # each wait ends long before the lock is free
        assert await reader.fetchval("select count(plan) from application") == 0


async def test_a_migration_that_gets_no_lock_says_so_and_can_be_repeated(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(monkeypatch, tmp_path, {"0002_section.sql": "alter table section.application add column plan text;"})
    async with connected(database_url) as other:
        async with other.transaction():
            await other.execute("select from application")
            with pytest.raises(StoreUnavailable, match="migration 0002 got no lock within 0 s"):
                await migrate(database_url, patience=0)
        assert await migrate(database_url) == ["0002"]


# interrupted


async def test_a_migration_that_fails_leaves_nothing_and_continues_where_it_was(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        "0002_section.sql": "alter table section.application add column plan text;",
        "0003_section.sql": "alter table section.application add column tier text; select 1 / 0;",
    }
    folder = add(monkeypatch, tmp_path, files)
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(database_url)
    assert await current(database_url) == "0002"
    (folder / "0003_section.sql").write_text("alter table section.application add column tier text;")
    assert await migrate(database_url) == ["0003"]


async def test_an_index_that_an_interrupted_migration_left_invalid_is_built_again(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (
        "-- concurrently\n\n-- for lists\n"
        "create index concurrently if not exists application_name on section.application (name);\n"
        "create unique index concurrently if not exists application_tier on section.application (name);\n"
    )
    add(monkeypatch, tmp_path, {"0002_section.sql": text})
    async with connected(database_url) as other:
        await other.execute(
            "insert into application (id, org_id, name, created_at, updated_at)"
            " select gen_random_uuid(), 'org_a', 'same', now(), now() from generate_series(1, 2)"
        )
        with pytest.raises(asyncpg.UniqueViolationError):
            await migrate(database_url)
        assert await indexes(other) == {"application_name": True, "application_tier": False}
        assert await current(database_url) == "0001"
        await other.execute("update application set name = id::text")
        assert await migrate(database_url) == ["0002"]
        assert await indexes(other) == {"application_name": True, "application_tier": True}


async def test_an_index_is_built_while_a_transaction_is_open_that_is_older(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits longer than other statements may, because it blocks no other statement."""
    text = (
        "-- concurrently\n"
        "create index concurrently if not exists application_name on section.application (name);"
    )
    add(monkeypatch, tmp_path, {"0002_section.sql": text})
    async with connected(database_url) as other, connected(database_url) as writer:
        async with other.transaction(isolation="repeatable_read"):
            await other.execute("select from endpoint")  # its snapshot may need the index
            migrating = asyncio.create_task(migrate(database_url))
            begun = time.monotonic()
            while time.monotonic() < begun + LOCK_TIMEOUT + 1:
                await writer.execute("update application set name = name")
            assert not migrating.done()
        assert await migrating == ["0002"]


# which releases


async def test_a_newer_schema_is_accepted_unless_its_floor_is_above_this_release(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"0002_section.sql": "alter table section.application add column plan text;"}
    with monkeypatch.context() as newer:
        folder = add(newer, tmp_path, files)
        await migrate(database_url)
    await require(database_url)
    assert await migrate(database_url) == []  # nothing to do, and nothing is undone
    (folder / "0003_control.sql").write_text("-- contract: 0.2.0\nselect 1;\n")
    with monkeypatch.context() as newer:
        newer.setattr(module, "MIGRATIONS", folder)
        newer.setattr(angarium, "__version__", "0.3.0")
        await migrate(database_url)
        await require(database_url)
    for refused in (require, migrate):
        with pytest.raises(ProcessRefused, match=r"this is Angarium 0\.1\.0, and the database needs 0\.2\.0"):
            await refused(database_url)


async def test_an_older_schema_is_refused_with_what_to_run(
    database_url: str, empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match="schema is missing, this release needs 0001; run `angarium mig"):
        await require(empty_database_url)
    add(monkeypatch, tmp_path, {"0002_section.sql": "select 1;"})
    with pytest.raises(SettingsError, match="schema is 0001, this release needs 0002"):
        await require(database_url)


async def test_a_contract_is_refused_while_older_releases_are_connected(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = await Connector(database_url, statement_timeout=None, name="angarium/0.1.7 dispatcher")()
    try:
        add(monkeypatch, tmp_path, {"0002_section.sql": "-- contract: 0.2.0\nselect 1;\n"})
        monkeypatch.setattr(angarium, "__version__", "0.2.0")
        with pytest.raises(ProcessRefused, match=r"before 0\.2\.0 use, .*: 0\.1\.7 \(1\); stop these"):
            await migrate(database_url)
        assert await current(database_url) == "0001"
    finally:
        await older.close()
    same = await Connector(database_url, statement_timeout=None)()
    try:
        assert await migrate(database_url) == ["0002"]
    finally:
        await same.close()


@pytest.mark.parametrize(
    ("older", "newer"),
    [("0.1.0", "0.1.1"), ("0.9.0", "0.10.0"), ("0.2.0rc1", "0.2.0"), ("0.2.0.dev0", "0.2.0"), ("x", "0.0.1")],
)
def test_releases_have_an_order(older: str, newer: str) -> None:
    assert release.is_older(older, newer)
    assert not release.is_older(newer, older)
    assert not release.is_older(newer, newer)


# a process that runs


async def test_a_running_process_notices_that_it_has_become_too_old(database_url: str) -> None:
    guard, stopped = Guard(), asyncio.Event()
    database = await Database.connect(database_url, guard=guard)
    watching = asyncio.create_task(guard.watch(database, stopped.set))
    try:
        async with connected(database_url) as owner:
            await owner.execute("update installation set oldest_release = '0.2.0'")
        async with asyncio.timeout(LOOK * 0.8):  # before its next look
            with pytest.raises(StatementFailed):
                async with database.connection() as connection:
                    await connection.fetch("select * from what_a_contract_removed")
            await stopped.wait()
        assert guard.refusal is not None
        assert "needs 0.2.0 or newer" in guard.refusal.detail
        with pytest.raises(StoreUnavailable, match=r"needs 0\.2\.0 or newer"):
            await database.dedicated()
    finally:
        watching.cancel()
        await database.close()


async def test_a_process_of_an_earlier_epoch_gets_no_new_connection(database_url: str) -> None:
    guard = Guard()
    database = await Database.connect(database_url, guard=guard)
    try:
        async with connected(database_url) as owner:
            await owner.execute("update installation set epoch = gen_random_uuid()")
        with pytest.raises(StoreUnavailable, match="was restored to an earlier time"):
            await database.dedicated()
    finally:
        await database.close()


# files


def test_statements_are_separated_outside_of_quotes_comments_and_bodies() -> None:
    text = (
        "-- a; b\nselect ';', \"a;b\" /* ; */;\n\n"
        "do $$ begin; end $$;\ncreate function f() as $body$ ; $$ ; $body$;\n select 'it''s;' - 1"
    )
    assert list(statements(text)) == [
        "select ';', \"a;b\"",
        "do $$ begin; end $$",
        "create function f() as $body$ ; $$ ; $body$",
        "select 'it''s;' - 1",
    ]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"0002_table.sql": ""}, "the name must end with"),
        (
            {"0002_section.sql": "-- concurrently\ncreate index concurrently a on b (c);"},
            "cannot be repeated",
        ),
        ({"0002_section.sql": "-- concurrently\ndrop table a;"}, "cannot be repeated"),
        (
            {
                "0002_section.sql": "-- concurrently\nanalyze section.endpoint;",
                "0002_control.sql": "select 1;",
            },
            "mark both files",
        ),
        (
            {"0002_section.sql": "-- contract: 0.2.0\n", "0002_control.sql": "-- contract: 0.3.0\n"},
            "must name the same release",
        ),
    ],
)
def test_a_file_that_cannot_be_run_is_refused(files: dict[str, str], said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said):
        load(with_more(tmp_path / "migrations", files))


def add(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: dict[str, str]) -> Path:
    """Have more migrations than there are."""
    folder = with_more(tmp_path / "migrations", files)
    monkeypatch.setattr(module, "MIGRATIONS", folder)
    return folder


async def indexes(connection: asyncpg.Connection) -> dict[str, bool]:
    """The new indexes, and whether they are valid."""
    rows = await connection.fetch(
        "select indexrelid::regclass::text as name, indisvalid from pg_index"
        " where indexrelid::regclass::text in ('application_name', 'application_tier')"
    )
    return {row["name"]: row["indisvalid"] for row in rows}


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    """Another session."""
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()
