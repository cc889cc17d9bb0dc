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
from tests.faults.harness import (
    LONG,
    ORG,
    SECRET,
    Client,
    Server,
    client,
    servers,
    shared_by,
    until_delivered,
)
from tests.kit.debian import FAKETIME, ensure
from tests.kit.patience import SLOW, until
from tests.kit.receiver import Receiver, Reply
from tests.kit.schemas import FOUND

HOUR = 3600.0
FEW = 60 if LONG else 40
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


async def test_everything_is_delivered_once_and_on_time_while_the_database_clock_is_wrong_and_set(
    directory: Path, clock: DatabaseClock
) -> None:
    """The servers start while it is behind. It is set right, it goes ahead, and it is set back. (In the test
    below a server starts while it is ahead.)"""
    clock.set(-HOUR)
    async with (
        postgresql(directory, clock) as url,
        Receiver() as receiver,
        servers(directory) as started,
    ):
        assert abs(await off(url) + HOUR) < HOUR / 2, "PostgreSQL's clock is off"
        servers_ = [
            await started.serve(url, ANGARIUM_RETRY_SCHEDULE="1s,1s", ANGARIUM_RETRY_JITTER="0")
            for _ in range(2)
        ]
        await shared_by(url, 2)
        async with client(servers_[0]) as api:
            servers_[0].token = token(-HOUR)
            await api.app("one", receiver.url)
            repeated = await delivered_by(api, servers_, receiver, -HOUR)
            assert repeated == 2, "no more than the two that failed"
            for by in (0.0, HOUR, 0.0):
                clock.set(by)
                for server in servers_:
                    await follows(server, by)
                await shared_by(url, 2)
                before, repeated = repeated, await delivered_by(api, servers_, receiver, by)
                assert repeated - before <= 2 + IN_FLIGHT
        for server in servers_:
            log = server.log.read_text()
            assert "shards.evicted" not in log, "a leap of the clock is no silence"
            assert "shards.lost" not in log
            assert await server.terminate() == 0


async def follows(server: Server, by: float) -> None:
    """The process goes by the database's clock, and says how far that is off."""
    async with client(server) as api:

        async def told() -> bool:
            found = await apart(api)
            return found is None if by == 0 else found is not None and abs(found - by) < HOUR / 2

        await until(told, "the process follows", pause=SLOW)


async def delivered_by(api: Client, servers_: list[Server], receiver: Receiver, by: float) -> int:
    """Messages through both servers arrive, signed by a clock that is off by so much, and two that fail are
    tried again in time. Returns how many requests so far were more than one for each message."""
    begun = receiver.count
    before = account(api.accepted, receiver).duplicates
    for server in servers_:
        server.token = token(by)
        await follows(server, by)
    receiver.plan(Reply(500), Reply(500))
    await api.load("one", FEW, clients=4, pace=0.05, over=servers_)
    await until_delivered(api.accepted, receiver)
    await until(
        lambda: account(api.accepted, receiver).duplicates >= before + 2,
        "retries keep their time",
        pause=SLOW,
    )
    assert all(abs(ahead - by) < HOUR / 2 for ahead in signed(receiver, begun))
    found = account(api.accepted, receiver)
    assert found.lost == 0
    return found.duplicates


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
