"""How connections are opened, and what happens to a commit whose caller has gone."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import asyncpg
import pytest

from angarium.core.errors import StoreReason, StoreUnavailable
from angarium.store import application
from angarium.store import connection as opening
from angarium.store import database as pooling
from angarium.store.connection import Connector, StoreConnection
from angarium.store.database import Database
from angarium.store.embedded import EmbeddedPostgres
from tests.kit.away import away
from tests.kit.patience import PATIENCE, until


@contextlib.asynccontextmanager
async def replicated(directory: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A PostgreSQL with a table, in which a commit waits for a standby that is not there."""
    postgres = await EmbeddedPostgres.start(directory)
    owner = await asyncpg.connect(postgres.url())
    try:
        await owner.execute("set synchronous_commit = local")
        await owner.execute("create table t (n int)")
        await owner.execute("alter system set synchronous_standby_names = 'nobody'")
        await owner.execute("select pg_reload_conf()")
        await until(lambda: _waits(owner), "commits wait for a standby")
        yield postgres
    finally:
        await owner.close()
        await postgres.stop()


async def _waits(owner: asyncpg.Connection) -> bool:
    return bool(await owner.fetchval("show synchronous_standby_names") == "nobody")


async def _commits(owner: asyncpg.Connection) -> bool:
    query = "select exists (select from pg_stat_activity where wait_event = 'SyncRep')"
    return bool(await owner.fetchval(query))


async def _insert(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute("insert into t values (1)")


@pytest.mark.parametrize("ends", ["timeout", "cancellation"])
async def test_a_commit_is_never_canceled(
    directory: Path, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    """A canceled commit would be visible though no standby has it."""
    if ends == "timeout":
        monkeypatch.setattr(pooling, "STATEMENT_TIMEOUT", 2.0)
    async with replicated(directory) as postgres:
        owner = await asyncpg.connect(postgres.url())
        await owner.execute("set synchronous_commit = local")
        database = await Database.connect(postgres.url(), size=1)
        writing = asyncio.create_task(_insert(database))
        await until(lambda: _commits(owner), "the commit waits for the standby")
        if ends == "cancellation":
            writing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await writing
        else:
            with pytest.raises(StoreUnavailable):
                await writing
        # the server would have acted on a cancel request before it takes a connection that came later
        async with database.connection() as connection:
            assert await connection.fetchval("select count(*) from t") == 0, "it is not visible"
        assert await _commits(owner), "the commit still waits"
        await owner.execute("alter system reset synchronous_standby_names")
        await owner.execute("select pg_reload_conf()")

        async def seen() -> bool:
            return bool(await owner.fetchval("select count(*) from t") == 1)

        await until(seen, "it is committed when it may be")
        await database.close()
        await owner.close()


async def test_a_plain_connection_cancels_no_commit_either(directory: Path) -> None:
    async with replicated(directory) as postgres:
        owner = await asyncpg.connect(postgres.url())
        await owner.execute("set synchronous_commit = local")
        alone = await Connector(postgres.url(), statement_timeout=2.0)()
        with pytest.raises(TimeoutError):
            await alone.execute("insert into t values (1)")
        await until(alone.is_closed, "the connection is closed")
        later = await asyncpg.connect(postgres.url())  # a cancel request would have come before
        assert await owner.fetchval("select count(*) from t") == 0, "it is not visible"
        assert await _commits(owner), "the commit still waits"
        await later.close()
        await owner.close()


@contextlib.contextmanager
def silent() -> Iterator[str]:
    """A host that takes connections and says nothing, as `host:port`."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def _several(url: str, *before: str) -> str:
    """A URL with other hosts before the socket directory of `url`."""
    directory = parse_qs(urlsplit(url).query)["host"][0]
    hosts = [place.rpartition(":")[0] for place in before]
    ports = [place.rpartition(":")[2] for place in before]
    database = urlsplit(url).path.lstrip("/")
    named = ",".join([*hosts, directory])
    return f"postgresql://postgres@/{database}?host={named}&port={','.join([*ports, '5432'])}"


@pytest.mark.parametrize("ends", ["timeout", "cancellation"])
async def test_a_transaction_ends_when_its_statement_is_given_up(
    database_url: str, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    """Its rollback does not wait for a cancel request, because none is sent."""
    monkeypatch.setattr(pooling, "STATEMENT_TIMEOUT", 0.1 if ends == "timeout" else PATIENCE)
    database = await Database.connect(database_url, size=1)

    async def sleep() -> None:
        async with database.transaction() as connection:
            await connection.execute("select pg_sleep(60)")

    async def asleep() -> bool:
        query = "select exists (select from pg_stat_activity where wait_event = 'PgSleep')"
        return bool(await watching.fetchval(query))

    watching = await asyncpg.connect(database_url)
    sleeping = asyncio.create_task(sleep())
    try:
        if ends == "cancellation":
            await until(asleep, "the statement runs")
            sleeping.cancel()
        done, _waiting = await asyncio.wait([sleeping], timeout=PATIENCE / 2)
        assert done, "the transaction ends"
        with pytest.raises(asyncio.CancelledError if ends == "cancellation" else StoreUnavailable):
            sleeping.result()
    finally:
        sleeping.cancel()
        await watching.close()
        await database.close()


async def test_silent_hosts_are_tried_at_the_same_time(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "HOST_TIMEOUT", 600.0)
    with silent() as one, silent() as two, silent() as three:
        connector = Connector(_several(database_url, one, two, three), statement_timeout=5.0)
        async with asyncio.timeout(300):
            connection = await connector()
        assert connection.fits
        await connection.close()
        monkeypatch.setattr(opening, "STAGGER", 600.0)
        async with asyncio.timeout(300):  # the host that answered is tried first from now on
            connection = await connector()
        await connection.close()


async def test_connections_that_are_not_used_are_closed(
    database_url: str, read_only_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hosts that are slow are begun with together, and all answer."""
    connector = Connector("postgresql://unused", statement_timeout=5.0)
    monkeypatch.setattr(connector, "_hosts", [read_only_url, database_url, read_only_url])
    monkeypatch.setattr(opening, "STAGGER", 0.0)
    opened: list[StoreConnection] = []
    all_opened = asyncio.Event()
    by_itself = connector._open

    async def together(url: str) -> StoreConnection:
        connection = await by_itself(url)
        opened.append(connection)
        if len(opened) == 3:
            all_opened.set()
        await all_opened.wait()
        return connection

    monkeypatch.setattr(connector, "_open", together)
    chosen = await asyncio.wait_for(connector(), PATIENCE)
    assert chosen.writable
    await until(lambda: sum(one.is_closed() for one in opened) == 2, "the others are closed")
    assert not chosen.is_closed()
    await chosen.close()


async def test_a_canceled_caller_does_not_try_the_same_host_first_again(database_url: str) -> None:
    with silent() as one:
        connector = Connector(_several(database_url, one), statement_timeout=5.0)
        connector._timeout = 0.3
        waiting = asyncio.create_task(connector())
        await until(lambda: connector._first == 1, "the silent host was given up")
        await (await waiting).close()


async def test_an_error_says_that_no_host_is_available(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "HOST_TIMEOUT", 0.2)
    with silent() as one, silent() as two:
        connector = Connector(f"postgresql://u@{one},{two}/db", statement_timeout=5.0)
        with pytest.raises(StoreUnavailable) as caught:
            await connector()
    assert caught.value.reason is StoreReason.UNREACHABLE


@pytest.fixture
async def read_only_url(empty_database_url: str) -> str:
    """A database whose new sessions only read."""
    owner = await asyncpg.connect(empty_database_url)
    name = urlsplit(empty_database_url).path.lstrip("/")
    await owner.execute(f"alter database {name} set default_transaction_read_only = on")
    await owner.close()
    return empty_database_url


async def test_a_writable_host_is_preferred(
    database_url: str, read_only_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connector = Connector("postgresql://unused", statement_timeout=5.0)
    monkeypatch.setattr(connector, "_hosts", [read_only_url, database_url])
    connection = await connector()
    assert connection.writable
    assert await connection.fetchval("show default_transaction_read_only") == "off"
    await connection.close()


async def test_a_pool_uses_a_read_only_host_and_locks_do_not(read_only_url: str) -> None:
    database = await Database.connect(read_only_url, size=1)
    async with database.connection() as connection:
        assert await connection.fetchval("select 1") == 1
    with pytest.raises(StoreUnavailable) as caught:
        await database.dedicated()
    assert caught.value.reason is StoreReason.READ_ONLY
    await database.close()


async def test_a_read_only_connection_is_replaced(
    read_only_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = await Database.connect(read_only_url, size=1)
    async with database.connection() as connection:
        first = await connection.fetchval("select pg_backend_pid()")
    monkeypatch.setattr(opening, "RETRY_WRITABLE", -1.0)
    async with database.connection() as connection:
        assert await connection.fetchval("select pg_backend_pid()") == first
    async with database.connection() as connection:
        assert await connection.fetchval("select pg_backend_pid()") != first
    await database.close()


async def test_postgresql_times_out_before_the_client_does(database: Database) -> None:
    async with database.connection() as connection:
        found = await connection.fetchrow(
            "select current_setting('lock_timeout'), current_setting('statement_timeout'),"
            " current_setting('idle_in_transaction_session_timeout')"
        )
    assert list(found) == ["10s", "25s", "1min"]


async def test_postgresqls_own_types_are_asked_for_once_and_others_by_each_connection(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[set[int]] = []
    ask = asyncpg.Connection._introspect_types

    async def noting(self: asyncpg.Connection, oids: set[int], timeout: float | None) -> object:
        asked.append(set(oids))
        return await ask(self, oids, timeout)

    monkeypatch.setattr(asyncpg.Connection, "_introspect_types", noting)
    monkeypatch.setattr(opening, "_own_types", {})
    pair = UUID(int=1), UUID(int=2)
    for number in range(3):
        connection = await Connector(database_url, statement_timeout=None)()
        try:
            if number == 0:
                await connection.execute("create type mood as enum ('well')")
            assert await connection.fetchval("select $1::uuid[]", pair) == list(pair)
            assert await connection.fetchval("select array[1, 2]::smallint[]") == [1, 2]
            assert await connection.fetchval("select array['well']::mood[]") == ["well"]
        finally:
            await connection.close()
    assert len(asked) == 2 + 3
    assert sum(max(oids) < 10_000 for oids in asked) == 2


@pytest.mark.parametrize("planned", [True, False])
async def test_a_pool_for_pages_plans_each_statement_for_its_values(database_url: str, planned: bool) -> None:
    database = await Database.connect(database_url, size=1, planned=planned)
    try:
        for _ in range(8):
            async with database.connection() as connection:
                await application.find(connection, "org_a", "acme")
        async with database.connection() as connection:
            row = await connection.fetchrow(
                "select generic_plans, custom_plans from pg_prepared_statements"
                " where statement like '%angarium_1.application%' and statement not like '%pg_prepared%'"
            )
    finally:
        await database.close()
    assert row["generic_plans"] == (0 if planned else 3)
    assert row["custom_plans"] == (8 if planned else 5)


async def test_a_pool_replaces_a_lost_connection_when_it_is_needed(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A pool that keeps its number of connections logs a traceback for each attempt while the database is
    away."""
    database = await Database.connect(database_url, size=2)
    owner = await asyncpg.connect(database_url)
    mine = "pid <> pg_backend_pid() and datname = current_database() and backend_type = 'client backend'"
    try:
        await owner.execute(f"select pg_terminate_backend(pid) from pg_stat_activity where {mine}")
        await until(lambda: database.use[:2] == (0, 0), "the pool has noticed")
        for _ in range(20):
            assert await owner.fetchval(f"select count(*) from pg_stat_activity where {mine}") == 0
        async with database.connection() as connection:
            assert await connection.fetchval("select 1") == 1
        assert caplog.text == ""
    finally:
        await owner.close()
        await database.close()


async def _one(database: Database) -> int:
    async with database.connection() as connection:
        return int(await connection.fetchval("select 1"))


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with each try to open a connection."""
    found: list[int] = []
    call = Connector.__call__

    async def counted(self: Connector) -> StoreConnection:
        found.append(len(found))
        return await call(self)

    monkeypatch.setattr(Connector, "__call__", counted)
    return found


async def test_requests_wait_while_the_database_restarts(
    postgres: EmbeddedPostgres, database_url: str, monkeypatch: pytest.MonkeyPatch, tries: list[int]
) -> None:
    monkeypatch.setattr(pooling, "RESTART", PATIENCE)
    database = await Database.connect(database_url, size=2)
    try:
        async with away(postgres, database_url):
            await until(lambda: database.use[:2] == (0, 0), "the pool has noticed")
            waiting = [asyncio.create_task(_one(database)) for _ in range(4)]
            await until(lambda: len(tries) > 4, "it is tried again")
            assert not any(one.done() for one in waiting)
        assert await asyncio.gather(*waiting) == [1] * 4
    finally:
        await database.close()


async def test_requests_fail_at_once_after_a_database_is_gone_for_longer_than_a_restart(
    postgres: EmbeddedPostgres, database_url: str, monkeypatch: pytest.MonkeyPatch, tries: list[int]
) -> None:
    monkeypatch.setattr(pooling, "RESTART", 0.3)
    database = await Database.connect(database_url, size=2)
    try:
        for _ in range(2):  # the time starts again once it is back
            async with away(postgres, database_url):
                await until(lambda: database.use[:2] == (0, 0), "the pool has noticed")
                before = len(tries)
                with pytest.raises(StoreUnavailable):
                    await _one(database)
                assert len(tries) > before + 1
                before = len(tries)
                with pytest.raises(StoreUnavailable):
                    await _one(database)
                assert len(tries) == before + 1
            assert await _one(database) == 1
    finally:
        await database.close()


async def test_a_database_that_was_never_there_is_tried_once(
    postgres: EmbeddedPostgres, database_url: str, tries: list[int]
) -> None:
    async with away(postgres, database_url):
        with pytest.raises(StoreUnavailable):
            await Database.connect(database_url, size=2)
    assert len(tries) == 1
