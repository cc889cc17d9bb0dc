"""Real server processes that are killed, and loads that continue meanwhile.

The short version of every fault is part of `make test`; ANGARIUM_TEST_CYCLES makes it long (`make chaos`):
so many faults in one run of the storm, and the other tests repeated in proportion.
Only processes started here are ended, by their ids.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import asyncpg
import psutil

from angarium.cli.credential import make_token
from angarium.settings import Settings
from angarium.store.fault import RAISED
from tests.faults.account import account
from tests.kit.patience import PATIENCE, SLOW, until
from tests.kit.port import free_port
from tests.kit.process import workers
from tests.kit.receiver import Receiver
from tests.kit.schemas import FOUND

PLANNED: Final = int(os.environ.get("ANGARIUM_TEST_CYCLES", "0"))
LONG: Final = PLANNED > 0
CYCLES: Final = max(1, PLANNED // 20)
REST: Final = 0.05 if LONG else 0.25  # seconds until a client tries again that was refused
ORG: Final = "org_23rb8YdGqMT0qIzpgGwdXfHirMu"
SECRET: Final = "s" * 48
KEY: Final = base64.b64encode(b"k" * 32).decode()
ANGARIUM: Final = (sys.executable, "-m", "angarium.cli.main")
NOBODY: Final = (aiohttp.ClientError, OSError, TimeoutError)
"""What a client sees when the server is gone in the middle."""
AWAY: Final = RAISED
"""The same of PostgreSQL."""


@dataclass
class Server:
    """One started `angarium`; its log is in `log`."""

    process: subprocess.Popen[bytes]
    url: str
    token: str
    log: Path

    async def kill(self) -> None:
        """kill -9, and wait for the end."""
        self.process.kill()
        await asyncio.to_thread(self.process.wait, PATIENCE)

    async def terminate(self) -> int:
        """SIGTERM; gives the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self.process.wait, PATIENCE)

    def resident(self) -> float:
        """Resident memory in MB."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise AssertionError("no VmRSS")

    def workers(self) -> list[psutil.Process]:
        """The children of `--processes N`."""
        return workers(self.process.pid)


@dataclass
class Servers:
    """Starts servers and ends those that are left."""

    directory: Path
    started: list[Server] = field(default_factory=list)

    async def dev(self, **variables: str) -> Server:
        """`angarium dev` on this directory, with its own PostgreSQL."""
        process, log = self._start(["dev", "--json", "--port", "0", "--data", str(self.directory)], variables)
        assert process.stdout is not None
        line = await asyncio.wait_for(asyncio.to_thread(process.stdout.readline), PATIENCE)
        assert line, log.read_text()
        ready = json.loads(line)
        return self._add(Server(process, ready["url"], ready["token"], log))

    async def serve(
        self, database_url: str, *arguments: str, program: Sequence[str] = ANGARIUM, **variables: str
    ) -> Server:
        """`angarium serve` on a database; returns when it answers."""
        server = self.launch(database_url, *arguments, port=None, program=program, **variables)
        await until(lambda: _answers(server), "the server answers", pause=SLOW)
        return server

    def launch(
        self,
        database_url: str,
        *arguments: str,
        port: int | None = None,
        program: Sequence[str] = ANGARIUM,
        **variables: str,
    ) -> Server:
        """The same, without waiting; a process that only dispatches never answers."""
        port = port or free_port()
        process, log = self._start(
            ["serve", *arguments],
            {
                "ANGARIUM_DATABASE_URL": database_url,
                "ANGARIUM_JWT_SECRET": SECRET,
                "ANGARIUM_SECRET_KEY": KEY,
                "ANGARIUM_LISTEN": f"127.0.0.1:{port}",
                "ANGARIUM_OPS_LISTEN": "",  # several servers run at once
                "ANGARIUM_HTTPS_ONLY": "false",
                "ANGARIUM_ALLOWED_SUBNETS": "127.0.0.0/8",
                **variables,
            },
            program,
        )
        token = make_token(Settings.model_validate({"jwt_secret": SECRET}), ORG)
        return self._add(Server(process, f"http://127.0.0.1:{port}", token, log))

    async def stop(self) -> None:
        for server in self.started:
            if server.process.poll() is None:
                server.process.terminate()
        for server in self.started:
            try:
                await asyncio.to_thread(server.process.wait, PATIENCE)
            finally:
                if server.process.poll() is None:
                    server.process.kill()
                if server.process.stdout is not None:
                    server.process.stdout.close()

    def _add(self, server: Server) -> Server:
        self.started.append(server)
        return server

    def _start(
        self, arguments: list[str], variables: dict[str, str], program: Sequence[str] = ANGARIUM
    ) -> tuple[subprocess.Popen[bytes], Path]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ANGARIUM_")}
        kept.pop("PYTHONDONTWRITEBYTECODE", None)  # else every start compiles everything
        log = self.directory / f"log-{len(self.started)}"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [*program, *arguments],
                env=kept | {"ANGARIUM_LOG_LEVEL": "warning"} | variables,
                stdout=subprocess.PIPE,
                stderr=file,
            )
        return process, log


@contextlib.asynccontextmanager
async def servers(directory: Path) -> AsyncIterator[Servers]:
    """Servers whose data and logs are in `directory`; the logs are shown when the test fails."""
    all_of_them = Servers(directory)
    try:
        yield all_of_them
    except BaseException:
        for server in all_of_them.started:
            tail = server.log.read_text(errors="replace")[-3000:]
            print(f"--- log of {server.url}, pid {server.process.pid}:\n{tail}")  # noqa: T201
        raise
    finally:
        await all_of_them.stop()


@dataclass
class Client:
    """The API of whichever server is there at the moment."""

    server: Server
    session: aiohttp.ClientSession
    accepted: set[str] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)
    under_way: Counter[str] = field(default_factory=Counter)  # requests without an answer, by their token

    async def call(
        self, method: str, path: str, body: Any = None, server: Server | None = None
    ) -> tuple[int, Any]:
        server = server or self.server
        token = server.token
        self.under_way[token] += 1
        try:
            async with self.session.request(
                method,
                f"{server.url}/api/v1{path}",
                json=body,
                headers={"authorization": f"Bearer {token}"},
                timeout=aiohttp.ClientTimeout(total=PATIENCE),
            ) as answer:
                return answer.status, await answer.json()
        finally:
            self.under_way[token] -= 1

    async def app(self, uid: str, *endpoints: str | dict[str, Any]) -> list[str]:
        """An application with endpoints, given as URLs or bodies; gives their ids."""
        status, _ = await self.call("POST", "/app", {"name": uid, "uid": uid})
        assert status == 201
        found = []
        for one in endpoints:
            body = {"url": one} if isinstance(one, str) else one
            status, answer = await self.call("POST", f"/app/{uid}/endpoint", body)
            assert status == 201, answer
            found.append(answer["id"])
        return found

    async def send(self, app: str, payload: Any, server: Server | None = None) -> str | None:
        """One message; its id if it was accepted. What else became of it is counted in `refused`."""
        body = {"eventType": "fault.made", "payload": payload}
        try:
            status, answer = await self.call("POST", f"/app/{app}/msg", body, server)
        except NOBODY as error:
            self.refused[type(error).__name__] += 1
            return None
        if status != 202:
            self.refused[str(status)] += 1
            return None
        self.accepted.add(answer["id"])
        found: str = answer["id"]
        return found

    async def send_many(self, app: str, payloads: Iterable[Any]) -> list[str]:
        """Messages in batches, all of which are accepted."""
        found: list[str] = []
        everything = [{"eventType": "fault.made", "payload": one} for one in payloads]
        for at in range(0, len(everything), 500):
            body = {"messages": everything[at : at + 500]}
            status, answer = await self.call("POST", f"/app/{app}/msg/batch", body)
            assert status == 202, answer
            assert all(one["status"] == 202 for one in answer["results"])
            found += [one["id"] for one in answer["results"]]
        self.accepted.update(found)
        return found

    async def load(
        self, app: str, count: int, *, clients: int = 16, pace: float = 0, over: Sequence[Server | None] = ()
    ) -> int:
        """Send until `count` more are accepted, through all servers of `over`, waiting while none responds;
        returns how many requests that took. Each client waits `pace` seconds after an answer."""
        goal = len(self.accepted) + count
        sent = 0

        async def one(number: int) -> None:
            nonlocal sent
            turns = itertools.cycle(over or [None])
            deadline = time.monotonic() + PATIENCE
            while len(self.accepted) + clients - 1 < goal or (number == 0 and len(self.accepted) < goal):
                sent += 1
                if await self.send(app, {"n": sent}, next(turns)) is not None:
                    deadline = time.monotonic() + PATIENCE
                    await asyncio.sleep(pace)
                else:
                    assert time.monotonic() < deadline, f"nothing is accepted any more: {self.refused}"
                    await asyncio.sleep(REST)

        async with asyncio.TaskGroup() as group:
            for number in range(clients):
                group.create_task(one(number))
        return sent

    async def until_accepted(self, count: int) -> None:
        await until(lambda: len(self.accepted) >= count, f"{count} messages are accepted")


@contextlib.asynccontextmanager
async def client(server: Server) -> AsyncIterator[Client]:
    connector = aiohttp.TCPConnector(limit=100)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield Client(server, session)


async def shared_by(database_url: str, count: int, timeout: float = PATIENCE) -> None:
    """Wait until `count` dispatchers own all shards in equal shares. PostgreSQL may be away meanwhile."""

    async def equal() -> bool:
        with contextlib.suppress(*AWAY):
            owned = await _owned(database_url)
            return len(owned) == count and sum(owned) == 64 and owned[0] >= 64 // count - count
        return False

    await until(equal, f"{count} dispatchers share the shards", timeout, pause=SLOW)


async def _owned(database_url: str) -> list[int]:
    """How many shards each owner has, the least first."""
    connection = await asyncpg.connect(database_url, server_settings=FOUND)
    try:
        rows = await connection.fetch(
            "select count(*) as owned from pg_locks where locktype = 'advisory' and classid = 1097755489"
            " and objid < 64 and granted"
            " and database = (select oid from pg_database where datname = current_database())"
            " group by pid"
        )
    finally:
        await connection.close()
    return sorted(row["owned"] for row in rows)


async def until_delivered(
    accepted: set[str], *receivers: Receiver, paths: Sequence[str] = ("/hook",), timeout: float = PATIENCE
) -> float:
    """Wait until every endpoint has every accepted message, or until the deadline; gives the seconds."""
    started = time.monotonic()
    owed = len(accepted) * len(receivers) * len(paths)

    def delivered() -> bool:
        enough = sum(receiver.count for receiver in receivers) >= owed
        return enough and not account(accepted, *receivers, paths=paths).lost

    with contextlib.suppress(AssertionError):  # the account says what is missing
        await until(delivered, "all is delivered", timeout)
    return time.monotonic() - started


async def recorded(database_url: str) -> int:
    """How many attempts are on record."""
    connection = await asyncpg.connect(database_url, server_settings=FOUND)
    try:
        return int(await connection.fetchval("select count(*) from attempt where status is not null"))
    finally:
        await connection.close()


async def a_while() -> None:
    """So that what is under way to this process is read: 0.2 s in parts, should it stand still in one."""
    for _ in range(10):
        await asyncio.sleep(0.02)


async def seen(*receivers: Receiver) -> int:
    """How many requests came, those included that were just under way."""
    await a_while()
    return sum(receiver.count for receiver in receivers)


async def _answers(server: Server) -> bool:
    assert server.process.poll() is None, server.log.read_text()
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{server.url}/api/v1/health/ping") as answer,
        ):
            return answer.status == 204
    except NOBODY:
        return False
