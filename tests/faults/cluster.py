"""The cluster of the storm: two API processes, two dispatchers and a PostgreSQL, under a steady load.

The second dispatcher is on a host of its own: a network that can be parted lies between it and the
database, a `Proxy` or a `Cable`. All processes run on a host whose clock and name server can be led astray
(`host.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import aiohttp
import asyncpg

from angarium.core import ids
from angarium.core.nouns import State
from angarium.store.embedded import EmbeddedPostgres
from angarium.store.migrate import migrate
from tests.faults.cable import Cable
from tests.faults.customers import FIFO, FREE, HEALTHY, SILENT, Customers, Tally
from tests.faults.harness import AWAY, LONG, NOBODY, Client, Server, Servers, servers, shared_by
from tests.faults.proxy import Proxy
from tests.kit.patience import PATIENCE, SLOW, until
from tests.kit.port import free_port
from tests.kit.process import runs, signal_family
from tests.kit.receiver import Receiver
from tests.kit.schemas import FOUND

SETTINGS: Final = {
    "ANGARIUM_ENDPOINT_CONCURRENCY": "16",
    "ANGARIUM_REQUEST_TIMEOUT": "6s",
    "ANGARIUM_RETRY_SCHEDULE": "300ms,500ms,1s,1s,2s,2s,4s,4s,8s,8s,15s",
}
HOST: Final = (sys.executable, "-P", str(Path(__file__).with_name("host.py")))
PATIENT: Final = FOUND | {"statement_timeout": "0"}  # of what is done here, whatever is done to the others
CLIENTS: Final = 6
PACE: Final = 0.06 if LONG else 0.6  # seconds between the requests of one client


@dataclass
class Cycle:
    """What one fault did. Counts are of deliveries to healthy endpoints, except `accepted` and `failed`."""

    tally: Tally
    accepted: int = 0  # messages
    owed: int = 0
    failed: dict[str, int] = field(default_factory=dict)  # requests to the API without a 202
    in_flight: int = 0  # requests that receivers had seen and that were not recorded when it struck
    lost: int = 0
    mismarked: int = 0
    overtaken: int = 0


@dataclass
class Cluster:
    """See the module. `url` is the database's; processes are restarted in their places."""

    directory: Path
    postgres: EmbeddedPostgres
    started: Servers
    network: Proxy | Cable
    customers: Customers
    session: aiohttp.ClientSession
    apis: list[Server] = field(default_factory=list)
    dispatchers: list[Server] = field(default_factory=list)
    free: set[str] = field(default_factory=set)  # accepted by the application without order
    fifo: list[str] = field(default_factory=list)  # accepted by the one with, in order
    refused: Counter[str] = field(default_factory=Counter)
    healthy: dict[UUID, str] = field(default_factory=dict)  # endpoint -> path
    sick: list[UUID] = field(default_factory=list)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return self.postgres.url()

    @property
    def accepted(self) -> int:
        return len(self.free) + len(self.fifo)

    # processes

    def start_api(self, place: int) -> None:
        """Start the API process of that place, on the port that it always has."""
        port = int(self.apis[place].url.rpartition(":")[2]) if place < len(self.apis) else free_port()
        self._place(self.apis, place, self._launch("api", self.url, port))

    def start_dispatcher(self, place: int) -> None:
        far = place > 0
        server = self._launch(
            "dispatch",
            self.network.url if far else self.url,
            None,
            (*self.network.program, *HOST) if far else HOST,
        )
        self._place(self.dispatchers, place, server)

    def start_all(self) -> None:
        for place in range(2):
            self.start_api(place)
            self.start_dispatcher(place)

    async def ready(self) -> None:
        """Wait until all processes are at work and share the lanes."""
        for server in self.apis:
            await until(
                lambda server=server: self._answers(server),  # type: ignore[misc]
                "the API answers",
                pause=SLOW,
            )
        await shared_by(self.url, len(self.dispatchers))

    def lead_astray(self, **how: Any) -> None:
        """Set the clock or the name server of the processes' host."""
        file = self.directory / "host.new"
        file.write_text(json.dumps(how))
        file.replace(self.directory / "host")

    def _launch(self, role: str, url: str, port: int | None, program: Sequence[str] = HOST) -> Server:
        variables = {
            **SETTINGS,
            "FAULTS_HOST": str(self.directory / "host"),
            "FAULTS_ADDRESS": self.network.here,
            "ANGARIUM_ALLOWED_SUBNETS": f"127.0.0.0/8,{self.network.here}/32",
        }
        return self.started.launch(url, "--role", role, port=port, program=program, **variables)

    def _place(self, servers: list[Server], place: int, server: Server) -> None:
        servers[place : place + 1] = [server]

    async def _answers(self, server: Server) -> bool:
        assert server.process.poll() is None, server.log.read_text()
        with contextlib.suppress(*NOBODY):
            async with self.session.get(f"{server.url}/api/v1/health/ping") as answer:
                return answer.status == 204
        return False

    # the database

    def signal_postgres(self, number: signal.Signals) -> None:
        """To every process of PostgreSQL."""
        signal_family(self.postgres.pid, number)

    async def stop_postgres(self, number: signal.Signals) -> None:
        """SIGQUIT: at once, without a checkpoint; SIGINT: orderly, cutting connections."""
        pid = self.postgres.pid
        os.kill(pid, number)
        await until(lambda: not runs(pid), "PostgreSQL has ended")

    async def start_postgres(self) -> None:
        self.postgres._lock.release()
        self.postgres = await EmbeddedPostgres.start(self.postgres.directory)

    async def execute(self, *statements: str) -> None:
        """As the owner of the database, each statement by itself."""
        connection = await asyncpg.connect(self.url, timeout=PATIENCE, server_settings=PATIENT)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    async def fetch(self, query: str, *values: Any) -> list[Any]:
        connection = await asyncpg.connect(self.url, timeout=PATIENCE, server_settings=PATIENT)
        try:
            return list(await connection.fetch(query, *values))
        finally:
            await connection.close()

    # the load

    @contextlib.asynccontextmanager
    async def load(self) -> AsyncIterator[None]:
        """Messages at a steady pace through both API processes, to all applications."""
        self._stopping.clear()
        async with asyncio.TaskGroup() as group:
            for number in range(CLIENTS):
                group.create_task(self._customer(number, "free"))
            group.create_task(self._customer(0, "order"))
            group.create_task(self._customer(1, "sick", 1.0))
            yield
            self._stopping.set()

    async def _customer(self, number: int, app: str, pace: float = PACE) -> None:
        turn = itertools.count(number)
        while not self._stopping.is_set():
            found = await self._send(app, next(turn))
            if found is not None and app == "free":
                self.free.add(found)
            elif found is not None and app == "order":
                self.fifo.append(found)
            await asyncio.sleep(pace)

    async def _send(self, app: str, turn: int) -> str | None:
        """As a client behind a load balancer does: a connection that is refused, or one that is closed
        without a byte of an answer, is followed by one more try at the other process, under the same
        idempotency key. Anything else is final."""
        body = {"eventType": "fault.made", "payload": {"turn": turn, "text": "naïve ☂"}}
        key = uuid4().hex
        for one in (turn, turn + 1):
            server = self.apis[one % 2]
            headers = {"authorization": f"Bearer {server.token}", "idempotency-key": key}
            try:
                async with self.session.post(
                    f"{server.url}/api/v1/app/{app}/msg", json=body, headers=headers
                ) as answer:
                    if answer.status == 202:
                        return str((await answer.json())["id"])
                    self.refused[str(answer.status)] += 1
                    return None
            except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
                continue
            except NOBODY as error:
                self.refused[type(error).__name__] += 1
                return None
        self.refused["nobody"] += 1
        return None

    async def until_accepted(self, count: int) -> None:
        goal = self.accepted + count
        await until(lambda: self.accepted >= goal, f"{count} more messages are accepted")

    # the account

    async def recorded(self) -> int:
        """Attempts on record of what came to healthy endpoints in this cycle."""
        messages = [ids.parse(ids.MESSAGE, one) for one in self.customers.tally.messages]
        rows = await self.fetch(
            "select count(*) from attempt"
            " where status is not null and endpoint_id = any($1) and message_id = any($2)",
            list(self.healthy),
            messages,
        )
        return int(rows[0][0])

    async def drained(self) -> float:
        """Wait until nothing is pending at healthy endpoints any more. Returns the seconds. After the
        deadline the account says what is missing."""

        async def nothing_owed() -> bool:
            with contextlib.suppress(*AWAY):
                query = (
                    "select exists (select from delivery where due_at is not null and endpoint_id = any($1))"
                )
                return not (await self.fetch(query, list(self.healthy)))[0][0]
            return False

        with contextlib.suppress(AssertionError):
            return await until(nothing_owed, "nothing is pending any more", pause=SLOW)
        return PATIENCE

    def missing(self, free: set[str], fifo: set[str]) -> int:
        return self.customers.missing(free, FREE) + self.customers.missing(fifo, [FIFO])

    async def mismarked(self, since: UUID) -> int:
        """Deliveries whose state is not what the receivers saw."""
        rows = await self.fetch(
            "select endpoint_id, message_id, state from delivery where message_id >= $1", since
        )
        wrong = 0
        for endpoint_id, message_id, state in rows:
            path = self.healthy.get(endpoint_id)
            if path is None:
                wrong += state == State.DELIVERED
            else:
                seen = ids.text(ids.MESSAGE, message_id) in self.customers.delivered[path]
                wrong += not seen or state != State.DELIVERED
        return wrong

    async def attempts(self, message: str) -> list[str]:
        """What is recorded of the attempts at one message, for the words of a failure."""
        rows = await self.fetch(
            "select endpoint_id, id, status_code, error_code, duration_ms from attempt"
            " where message_id = $1 order by id",
            ids.parse(ids.MESSAGE, message),
        )
        return [
            f"{self.healthy.get(row[0])} {ids.created_at(row[1]) % 1000:.3f} {row[2]} {row[3]} {row[4]} ms"
            for row in rows
        ]

    async def set_up(self, port: int, nobody: int) -> None:
        api = Client(self.apis[0], self.session)
        host = f"http://{self.network.here}:{port}"
        urls = {"/a": f"{host}/a", "/b": f"http://b.test:{port}/b", "/flaky": f"{host}/flaky"}
        found = await api.app("free", *(urls[path] for path in FREE))
        found += await api.app("order", {"url": f"{host}{FIFO}", "fifo": True})
        self.healthy = {_endpoint(text): path for text, path in zip(found, HEALTHY, strict=True)}
        sick = await api.app("sick", f"{host}{SILENT}", f"http://127.0.0.1:{nobody}/refused")
        self.sick = [_endpoint(text) for text in sick]


def _endpoint(text: str) -> UUID:
    found = ids.parse(ids.ENDPOINT, text)
    assert found is not None
    return found


@contextlib.asynccontextmanager
async def cluster(directory: Path, disk: Path, *, cable: bool = False) -> AsyncIterator[Cluster]:
    """A cluster at work; PostgreSQL keeps its data in `disk`. `cable`: its second host is a real one."""
    customers = Customers()
    postgres = await EmbeddedPostgres.start(disk)
    (directory / "far").mkdir()
    one: Cluster | None = None
    try:
        network = Cable() if cable else Proxy(directory / "far", postgres.url())
        await migrate(postgres.url())
        async with (
            network,
            Receiver(customers, keep=False, host=network.here) as receiver,
            servers(directory) as started,
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=100), timeout=aiohttp.ClientTimeout(total=PATIENCE)
            ) as session,
        ):
            if isinstance(network, Cable):
                postgres = await network.listened_on(postgres)
            one = Cluster(directory, postgres, started, network, customers, session)
            one.lead_astray()
            one.start_all()
            await one.ready()
            await one.set_up(receiver.port, free_port())
            yield one
    finally:
        await (one.postgres if one else postgres).stop()
