"""The clock of the database's host is an hour off, in both directions, and is set while servers work.

PostgreSQL runs under libfaketime (Debian's package `faketime`), which reads how far its clock is off from a
file. Everything else runs by the host's own clock.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from angarium import keys
from angarium.clock import SystemClock
from angarium.settings import Settings
from angarium.store.embedded import EmbeddedPostgres
from angarium.store.migrate import migrate
from tests.faults.account import account
from tests.faults.harness import ORG, SECRET, Client, client, servers, shared_by, until_delivered
from tests.kit.debian import FAKETIME, ensure
from tests.kit.patience import until
from tests.kit.receiver import Receiver, Reply
from tests.kit.schemas import FOUND

HOUR = 3600.0
FEW = 60
IN_FLIGHT = 16


class DatabaseClock:
    """How far PostgreSQL's clock is off."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "off"
        self.set(0.0)

    def set(self, by: float) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(f"{by:+.0f}\n")
        new.chmod(0o644)
        new.replace(self._file)

    @property
    def variables(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }


@pytest.fixture
def clock() -> Iterator[DatabaseClock]:
    ensure(str(FAKETIME))
    directory = Path(tempfile.mkdtemp(prefix="angarium-clock-"))
    directory.chmod(0o755)  # PostgreSQL may run as another user
    yield DatabaseClock(directory)
    shutil.rmtree(directory, ignore_errors=True)


@contextlib.asynccontextmanager
async def postgresql(directory: Path, clock: DatabaseClock) -> AsyncIterator[str]:
    before = {name: os.environ.get(name) for name in clock.variables}
    os.environ.update(clock.variables)
    try:
        postgres = await EmbeddedPostgres.start(directory / "own", durable=False)
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
    try:
        await migrate(postgres.url())
        yield postgres.url()
    finally:
        await postgres.stop()


async def off(url: str) -> float:
    """Seconds by which the database's clock is ahead of this host's."""
    connection = await asyncpg.connect(url, server_settings=FOUND)
    try:
        told: float = await connection.fetchval("select extract(epoch from clock_timestamp())::float8")
    finally:
        await connection.close()
    return told - time.time()


async def apart(api: Client) -> float | None:
    async with api.session.get(f"{api.server.url}/api/v1/health") as answer:
        assert answer.status == 200
        told = (await answer.json()).get("clock")
    return None if told is None else float(told["seconds"])


def token(by: float) -> str:
    """One that is made by the database's clock: what is issued in the future is refused."""
    clock = SystemClock()
    clock.anchor(clock.now() + by)
    settings = Settings.model_validate({"jwt_secret": SECRET})
    return keys.tokens(settings, clock=clock).for_organization(ORG)


def signed(receiver: Receiver, since: int) -> list[float]:
    """By how much the requests from one on are signed ahead of our time."""
    return [
        float(request.header("webhook-timestamp") or 0) - time.time() for request in receiver.requests[since:]
    ]


@pytest.mark.parametrize("by", [HOUR, -HOUR], ids=["ahead", "behind"])
async def test_everything_is_delivered_once_and_on_time_while_the_database_clock_is_wrong_and_set(
    directory: Path, clock: DatabaseClock, by: float
) -> None:
    clock.set(by)
    async with (
        postgresql(directory, clock) as url,
        Receiver() as receiver,
        servers(directory) as started,
    ):
        assert abs(await off(url) - by) < HOUR / 2, "PostgreSQL's clock is off"
        servers_ = [
            await started.serve(url, ANGARIUM_RETRY_SCHEDULE="1s,1s", ANGARIUM_RETRY_JITTER="0")
            for _ in range(2)
        ]
        for server in servers_:
            server.token = token(by)
        await shared_by(url, 2)
        async with client(servers_[0]) as api:
            told = await apart(api)
            assert told is not None
            assert abs(told - by) < HOUR / 2, "health says how far"
            await api.app("one", receiver.url)
            receiver.plan(Reply(500), Reply(500))
            await api.load("one", FEW, over=servers_)
            await until_delivered(api.accepted, receiver)
            await until(lambda: receiver.count >= len(api.accepted) + 2, "retries keep their time")
            assert all(abs(ahead - by) < HOUR / 2 for ahead in signed(receiver, 0))
            first = account(api.accepted, receiver)
            assert (first.lost, first.duplicates) == (0, 2), "no more than the two that failed"

            clock.set(0.0)
            for server in servers_:
                server.token = token(0.0)
            async with contextlib.AsyncExitStack() as stack:
                for server in servers_:
                    own = await stack.enter_async_context(client(server))

                    async def right(own: Client = own) -> bool:
                        return await apart(own) is None

                    await until(right, "the process follows")
            await shared_by(url, 2)
            begun = receiver.count
            await api.load("one", FEW, over=servers_)
            await until_delivered(api.accepted, receiver)
            assert all(abs(ahead) < HOUR / 2 for ahead in signed(receiver, begun))
            result = account(api.accepted, receiver)
            assert result.lost == 0
            assert result.duplicates <= 2 + IN_FLIGHT
        for server in servers_:
            log = server.log.read_text()
            assert "shards.evicted" not in log, "a leap of the clock is no silence"
            assert "shards.lost" not in log
            assert await server.terminate() == 0


async def test_a_database_whose_clock_is_far_ahead_keeps_its_history(
    directory: Path, clock: DatabaseClock
) -> None:
    """A year ahead: everything is older than it is kept, as it seems, and nothing is deleted."""
    async with (
        postgresql(directory, clock) as url,
        Receiver() as receiver,
        servers(directory) as started,
    ):
        server = await started.serve(url)
        async with client(server) as api:
            await api.app("one", receiver.url)
            await api.load("one", FEW)
            await until_delivered(api.accepted, receiver)
        assert await server.terminate() == 0
        clock.set(365 * 24 * HOUR)
        server = await started.serve(url)
        await until(lambda: "retention.held" in server.log.read_text(), "it would delete now")
        connection = await asyncpg.connect(url, server_settings=FOUND)
        try:
            kept = await connection.fetchval("select count(*) from message")
        finally:
            await connection.close()
        assert kept == len(api.accepted)
        assert await server.terminate() == 0
