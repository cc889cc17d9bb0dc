"""Two instances behind HAProxy are replaced one after the other, while clients send without retries."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp

from tests.faults.account import account, report
from tests.faults.harness import LONG, NOBODY, Client, client, servers, until_delivered
from tests.kit.debian import ensure
from tests.kit.patience import PATIENCE, SLOW, until
from tests.kit.port import free_port
from tests.kit.receiver import Receiver
from tests.server.probing import Probed, launched

CLIENTS = 4
PACE = 0.05 if LONG else 0.1  # seconds that each of them waits after an answer
SLOW_PACE = 0.05 if LONG else 0.5  # the same while no instance stops
SOME = 50 if LONG else 10  # messages before and after each stop
DRAIN_DELAY = "5s"  # HAProxy asks /readyz every 0.2 seconds; this machine may be busy
CONFIGURATION = """\
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout check 30s
  retries 0
  no option redispatch
listen api
  bind 127.0.0.1:{port}
  option httpchk GET /readyz
  http-check expect status 200
  default-server check inter 200ms fall 1 rise 1
{servers}
listen state
  bind 127.0.0.1:{state}
  stats enable
  stats uri /
"""


class HaProxy:
    """HAProxy over the places of servers: names, each with the port of its API and of its probes."""

    def __init__(self, places: Mapping[str, tuple[int, int]]) -> None:
        self._places = places
        self._port, self._state = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self._port}"

    @asynccontextmanager
    async def running(self, directory: Path) -> AsyncIterator[None]:
        program = await asyncio.to_thread(ensure, "haproxy")
        lines = [f"  server {name} 127.0.0.1:{api} port {ops}" for name, (api, ops) in self._places.items()]
        file = directory / "haproxy.cfg"
        file.write_text(CONFIGURATION.format(port=self._port, state=self._state, servers="\n".join(lines)))
        process = subprocess.Popen([str(program), "-f", str(file)])  # noqa: ASYNC220
        try:
            yield
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait, PATIENCE)

    async def uses(self, name: str) -> bool:
        """Whether it sends requests there."""
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://127.0.0.1:{self._state}/;csv") as answer,
            ):
                rows = [line.split(",") for line in (await answer.text()).splitlines()]
        except NOBODY:
            return False
        state = rows[0].index("status")
        return any(row[:2] == ["api", name] and row[state] == "UP" for row in rows)


async def send_until(api: Client, over: asyncio.Event, stopping: asyncio.Event) -> None:
    """Clients that keep their connections and never send a request twice."""
    numbers = itertools.count()

    async def one() -> None:
        while not over.is_set():
            await api.send("one", {"n": next(numbers)})
            await asyncio.sleep(PACE if stopping.is_set() else SLOW_PACE)

    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(one())


async def test_a_rolling_replacement_behind_a_proxy_fails_no_request_and_loses_no_message(
    directory: Path, database_url: str
) -> None:
    places = {name: (free_port(), free_port()) for name in ("first", "second", "third")}
    proxy = HaProxy(places)
    async with Receiver() as receiver, servers(directory) as started, proxy.running(directory):

        async def start(name: str, processes: str) -> Probed:
            api, ops = places[name]
            probed = launched(
                started, database_url, "--processes", processes,
                port=api, ops=ops, ANGARIUM_DRAIN_DELAY=DRAIN_DELAY,
            )  # fmt: skip
            await probed.until_ready()
            await until(lambda: proxy.uses(name), f"the proxy uses the {name}", pause=SLOW)
            return probed

        first, second = await asyncio.gather(start("first", "1"), start("second", "2"))
        async with client(replace(first.server, url=proxy.url)) as api:
            await api.app("one", receiver.url)
            over, stopping = asyncio.Event(), asyncio.Event()
            sending = asyncio.create_task(send_until(api, over, stopping))
            for old, (name, processes) in ((first, ("third", "2")), (second, ("first", "1"))):
                await start(name, processes)
                stopping.set()
                await api.until_accepted(len(api.accepted) + SOME)
                assert await old.server.terminate() == 0
                await api.until_accepted(len(api.accepted) + SOME)
                stopping.clear()
            over.set()
            await asyncio.wait_for(sending, PATIENCE)
            await until_delivered(api.accepted, receiver)
            result = account(api.accepted, receiver)
    report("two instances replaced behind HAProxy", 2, result, refused=dict(api.refused))
    assert api.refused == {}
    assert result.lost == 0
    assert result.duplicates == 0
