"""Lists and pages are read from a real streaming standby, as long as it is right to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
import structlog

from angarium.clock import SystemClock
from angarium.core.replica import ReplicaTrouble
from angarium.store import replica as module
from angarium.store.connection import Connection
from angarium.store.database import Database
from angarium.store.migrate import migrate
from angarium.store.replica import Replica
from tests.faults.harness import Client, client, servers, until_delivered
from tests.faults.replicated import Node, Replicated
from tests.kit.patience import PATIENCE, until
from tests.kit.receiver import Receiver

PATIENT = PATIENCE / 2  # seconds that a read waits for the replica, on a machine that is busy
READS = 200
SECRET_TABLES = ("api_key", "revoked_token", "token_cutoff", "organization_token", "idempotency")


@pytest.fixture
async def pair() -> AsyncIterator[Replicated]:
    async with Replicated(synchronous=False) as made:
        yield made


@pytest.fixture(autouse=True)
def looks_often_and_is_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK", 0.1)
    monkeypatch.setattr(module, "REST", 0.3)
    monkeypatch.setattr(module, "ANSWER", PATIENCE)


@contextlib.asynccontextmanager
async def reading(
    primary: str, standby: str, lag: float = PATIENT
) -> AsyncIterator[tuple[Database, Replica]]:
    """A database that reads from a replica."""
    database = await Database.connect(primary)
    replica = Replica(database, await Database.connect(standby, standby=True), SystemClock(), lag=lag)
    database.read_from(replica)
    replica.start()
    try:
        yield database, replica
    finally:
        await replica.stop()
        await database.close()


async def write(node: Node) -> None:
    await node.execute("insert into t select", "angarium")


async def look(connection: Connection) -> tuple[int, bool]:
    """How many rows there are, and whether a standby says so."""
    found = await connection.fetchrow("select count(*) as rows, pg_is_in_recovery() as standby from t")
    return found["rows"], found["standby"]


async def used(replica: Replica) -> None:
    await until(lambda: replica.state.trouble is None, "the replica is used")


async def answered(database: Database, rows: int) -> None:
    """The replica answers, and never with anything else than the primary would."""

    async def by_standby() -> bool:
        found, standby = await database.read(look)
        assert found == rows
        return standby

    await until(by_standby, "the replica answers")


async def left(replica: Replica, *troubles: ReplicaTrouble) -> None:
    await until(lambda: replica.state.trouble in troubles, f"the replica is left: {troubles}")


async def test_a_list_is_read_from_the_replica_and_is_never_stale(pair: Replicated) -> None:
    await pair.first.execute("create table t ()", "angarium")
    async with reading(pair.first.url, pair.second.url) as (database, replica):
        await used(replica)
        for written in range(1, READS + 1):
            async with database.connection() as connection:
                await connection.execute("insert into t select")
            rows, standby = await database.read(look)
            assert rows == written
            assert standby or replica.state.trouble is not None
        await answered(database, READS)
        # nothing is written any more, and that is no lag
        await until(lambda: replica.state.lag_bytes == 0, "all is replayed")
        for _ in range(5):
            await replica._look()
            assert replica.state.trouble is None
            assert replica.state.lag_bytes == 0


async def test_a_replica_that_is_behind_is_not_used_until_it_has_caught_up(pair: Replicated) -> None:
    await pair.first.execute("create table t ()", "angarium")
    with structlog.testing.capture_logs() as logged:
        async with reading(pair.first.url, pair.second.url, lag=0.2) as (database, replica):
            await used(replica)
            await pair.second.execute("select pg_wal_replay_pause()")
            await write(pair.first)
            found = await asyncio.gather(*(database.read(look) for _ in range(20)))
            assert found == [(1, False)] * 20, "the primary answers, and all see what is written"
            await left(replica, ReplicaTrouble.LAGGING)
            await until(lambda: (replica.state.lag_seconds or 0) > 1, "the lag is reported")
            assert (replica.state.lag_bytes or 0) > 0
            await pair.second.execute("select pg_wal_replay_resume()")
            await used(replica)
            await answered(database, 1)
    told = [(line["event"], line.get("reason")) for line in logged if line["event"].startswith("replica.")]
    assert ("replica.left", "lagging") in told
    assert all(one != other for one, other in pairwise(told)), "it is said once"


async def test_a_killed_replica_fails_no_read(pair: Replicated) -> None:
    await pair.first.execute("create table t ()", "angarium")
    async with reading(pair.first.url, pair.second.url) as (database, replica):
        await used(replica)
        killed = asyncio.Event()

        async def reads() -> None:
            for _ in range(READS):
                assert (await database.read(look))[0] == 0
            await killed.wait()
            for _ in range(READS):
                assert await database.read(look) == (0, False)

        many = [asyncio.create_task(reads()) for _ in range(5)]
        await asyncio.to_thread(pair.second.kill)
        await left(replica, ReplicaTrouble.UNREACHABLE)
        killed.set()
        await asyncio.wait_for(asyncio.gather(*many), PATIENCE)
        assert replica.state.lag_seconds is None
        await pair.second.start()
        await used(replica)


async def test_a_replica_may_be_missing_at_the_start(pair: Replicated) -> None:
    await pair.first.execute("create table t ()", "angarium")
    await asyncio.to_thread(pair.second.kill)
    async with reading(pair.first.url, pair.second.url) as (database, replica):
        assert await database.read(look) == (0, False)
        await left(replica, ReplicaTrouble.UNREACHABLE)


async def test_a_silent_replica_delays_a_read_for_a_bounded_time(
    pair: Replicated, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pair.first.execute("create table t ()", "angarium")

    async def stuck(connection: Connection) -> tuple[int, bool]:
        if await connection.fetchval("select pg_is_in_recovery()"):
            await connection.fetchval("select pg_sleep(600)")
        return await look(connection)

    async with reading(pair.first.url, pair.second.url) as (database, replica):
        await used(replica)
        monkeypatch.setattr(module, "ANSWER", 0.5)
        assert await asyncio.wait_for(database.read(stuck), PATIENCE) == (0, False)


async def test_a_query_canceled_by_replay_runs_on_the_primary(pair: Replicated) -> None:
    await pair.first.execute("create table t ()", "angarium")
    await write(pair.first)
    await pair.second.set(max_standby_streaming_delay="0")

    async def held(connection: Any) -> tuple[int, bool]:
        """Rows that the primary removes meanwhile are needed until the end."""
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            found = await look(connection)
            if found[1]:
                await connection.fetchval("select pg_sleep(600)")
            return found

    async def sleeps() -> bool:
        # until then PostgreSQL would end the idle session, instead of canceling a statement
        query = "select exists (select from pg_stat_activity where wait_event = 'PgSleep')"
        return bool(await pair.second.execute(query))

    with structlog.testing.capture_logs() as logged:
        async with reading(pair.first.url, pair.second.url) as (database, replica):
            await used(replica)
            waiting = asyncio.create_task(database.read(held))
            await until(sleeps, "the query runs on the replica")
            await pair.first.execute("delete from t", "angarium")
            await pair.first.execute("vacuum t", "angarium")
            assert await asyncio.wait_for(waiting, PATIENCE) == (0, False)
            await used(replica)
    assert [line["reason"] for line in logged if line["event"] == "replica.left"] == ["conflict"]


async def test_a_promoted_replica_is_not_used(pair: Replicated) -> None:
    await pair.first.execute("create table t ()", "angarium")
    async with reading(pair.first.url, pair.second.url) as (database, replica):
        await used(replica)
        await pair.second.promote()
        await left(replica, ReplicaTrouble.PROMOTED)
        await write(pair.second)  # what it takes on its own is not in the database
        assert await database.read(look) == (0, False)


async def test_after_a_failover_the_replica_has_to_follow_the_new_timeline(pair: Replicated) -> None:
    """The old primary knows more than the new one, and none of it counts."""
    await pair.first.execute("create table t ()", "angarium")

    async def replayed() -> bool:
        return bool(await pair.second.execute("select to_regclass('t') is not null", "angarium"))

    await until(replayed, "the standby has the table")
    await asyncio.to_thread(pair.first.kill)
    await pair.second.promote()
    nobody = Node(pair.directory, "nobody")
    await pair.first.follow(nobody)
    await pair.first.start()
    async with reading(pair.second.url, pair.first.url) as (database, replica):
        await left(replica, ReplicaTrouble.DIVERGED)
        assert await database.read(look) == (0, False)
        await pair.first.follow(pair.second)
        await pair.first.stop()
        await pair.first.start()
        await used(replica)
        await write(pair.second)
        await answered(database, 1)


async def test_another_cluster_is_no_replica(pair: Replicated, database_url: str) -> None:
    await pair.first.execute("create table t ()", "angarium")
    async with reading(pair.first.url, database_url) as (database, replica):
        await left(replica, ReplicaTrouble.DIVERGED)
        assert await database.read(look) == (0, False)
    async with reading(pair.first.url, pair.first.url) as (_, replica):
        await left(replica, ReplicaTrouble.PROMOTED)


async def test_a_role_without_privileges_reads_from_the_replica_too(pair: Replicated) -> None:
    await pair.first.execute("create table t ()", "angarium")
    await pair.first.execute("create role plain login")
    await pair.first.execute("grant select on t to plain", "angarium")
    primary, standby = (node.url.replace("postgres@", "plain@") for node in (pair.first, pair.second))
    async with reading(primary, standby) as (database, _):
        await answered(database, 0)


async def listed(api: Client, path: str) -> list[Any]:
    status, answer = await api.call("GET", path)
    assert status == 200, answer
    found: list[Any] = answer["data"]
    return found


async def told(api: Client) -> dict[str, Any]:
    async with api.session.get(f"{api.server.url}/api/v1/health") as answer:
        assert answer.status == 200
        found: dict[str, Any] = (await answer.json())["replica"]
    return found


async def test_a_server_reads_its_lists_from_the_replica_and_no_secret(pair: Replicated) -> None:
    await migrate(pair.first.url)
    await pair.second.set(log_statement="all")
    variables = {"ANGARIUM_DATABASE_REPLICA_URL": pair.second.url, "ANGARIUM_DATABASE_REPLICA_LAG": "3s"}
    async with Receiver() as receiver, servers(pair.directory) as started:
        server = await started.serve(pair.first.url, **variables)
        async with client(server) as api:

            async def ok() -> bool:
                return bool((await told(api))["status"] == "ok")

            await until(ok, "the replica is used")
            [endpoint] = await api.app("one", receiver.url)
            sent = []
            for number in range(30):
                sent.append(await api.send("one", {"n": number}))
                assert [one["id"] for one in await listed(api, "/app/one/msg?limit=50")] == sent[::-1]
            await until_delivered(api.accepted, receiver)

            async def recorded() -> bool:
                return len(await listed(api, f"/app/one/attempt/endpoint/{endpoint}?limit=50")) == 30

            await until(recorded, "all attempts are listed")
            await until(ok, "the replica is used")
            state = await told(api)
            assert state["lagSeconds"] >= 0
            assert state["lagBytes"] >= 0
            said = pair.second.log.read_text()
            assert "from angarium_1.message" in said
            assert "from angarium_1.attempt" in said
            assert [table for table in SECRET_TABLES if f"angarium.{table}" in said] == []

            loading = asyncio.create_task(api.load("one", 200, clients=4))
            await asyncio.to_thread(pair.second.kill)
            while not loading.done():
                await listed(api, "/app/one/msg?limit=50")
            await loading
            assert not api.refused, "no request fails"

            async def away() -> bool:
                state = await told(api)
                return (state.get("reason"), "lagSeconds" in state) == ("unreachable", False)

            await until(away, "health says so")
            assert server.log.read_text().count('"reason":"unreachable"') == 1, "and the log, once"
            await pair.second.start()
            await until(ok, "the replica is used again")
        assert await server.terminate() == 0


async def test_an_erased_application_is_not_shown_from_a_replica_that_still_has_it(pair: Replicated) -> None:
    await migrate(pair.first.url)
    variables = {"ANGARIUM_DATABASE_REPLICA_URL": pair.second.url, "ANGARIUM_DATABASE_REPLICA_LAG": "100ms"}
    rows = "select (select count(*) from angarium_1.application) + (select count(*) from angarium_1.message)"
    async with servers(pair.directory) as started:
        server = await started.serve(pair.first.url, **variables)
        async with client(server) as api:

            async def ok() -> bool:
                return bool((await told(api))["status"] == "ok")

            await api.app("one")
            await api.app("two")
            await api.send_many("one", [{"n": 1}])
            await until(ok, "the replica is used")
            assert len(await listed(api, "/app/one/msg")) == 1
            await pair.second.execute("select pg_wal_replay_pause()")

            async def paused() -> bool:
                query = "select pg_get_wal_replay_pause_state()"
                return bool(await pair.second.execute(query) == "paused")

            await until(paused, "the replica replays nothing")
            status, task = await api.call("POST", "/app/one/erase")
            assert status == 202
            assert [one["uid"] for one in await listed(api, "/app")] == ["two"]
            assert (await api.call("GET", "/app/one/msg"))[0] == 404

            async def erased() -> bool:
                return bool(
                    (await api.call("GET", f"/background-task/{task['id']}"))[1]["status"] == "finished"
                )

            await until(erased, "the erasure has ended")
            assert "application.erased" in [one["action"] for one in await listed(api, "/audit")]
            assert await pair.first.execute(rows, "angarium") == 1
            assert await pair.second.execute(rows, "angarium") == 3
            await pair.second.execute("select pg_wal_replay_resume()")

            async def replayed() -> bool:
                return bool(await pair.second.execute(rows, "angarium") == 1)

            await until(replayed, "the replica has erased it too")
