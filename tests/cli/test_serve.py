from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import aiohttp.web
import asyncpg
import psutil
import pytest

from tests.kit.command import run
from tests.kit.patience import PATIENCE, until
from tests.kit.port import free_port
from tests.kit.process import runs

KEY = base64.b64encode(b"k" * 32).decode()
SECRET = "s" * 48


def environment(database_url: str, port: int) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANGARIUM_")}
    return kept | {
        "ANGARIUM_DATABASE_URL": database_url,
        "ANGARIUM_JWT_SECRET": SECRET,
        "ANGARIUM_SECRET_KEY": KEY,
        "ANGARIUM_LISTEN": f"127.0.0.1:{port}",
        "ANGARIUM_OPS_LISTEN": "",  # several servers run at once
        "ANGARIUM_HTTPS_ONLY": "false",
        "ANGARIUM_ALLOWED_SUBNETS": "127.0.0.0/8",
    }


@asynccontextmanager
async def serve(
    database_url: str, *arguments: str, port: int | None = None, **variables: str
) -> AsyncIterator[tuple[subprocess.Popen[bytes], str]]:
    port = port or free_port()
    process = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-m", "angarium.cli.main", "serve", *arguments],
        env=environment(database_url, port) | variables,
    )
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        if process.poll() is None:
            process.terminate()
        await asyncio.to_thread(process.wait, PATIENCE)


async def healthy(url: str) -> None:
    deadline = time.monotonic() + PATIENCE
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"{url}/api/v1/health/ping") as answer:
                    assert answer.status == 204
                    return
            except aiohttp.ClientConnectionError:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)


def workers(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The children that serve; multiprocessing keeps one more to track resources."""
    found = []
    for child in psutil.Process(process.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended, perhaps without its parent knowing
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


def token() -> str:
    done = run("token", "--org", "org_test", ANGARIUM_JWT_SECRET=SECRET, ANGARIUM_SECRET_KEY=KEY)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_serves_and_stops_in_order_on_a_signal(database_url: str, number: signal.Signals) -> None:
    async with serve(database_url) as (process, url):
        await healthy(url)
        process.send_signal(number)
        assert await asyncio.to_thread(process.wait, PATIENCE) == 0


async def test_migrate_can_be_part_of_the_start(empty_database_url: str) -> None:
    async with serve(empty_database_url, "--migrate") as (_, url):
        await healthy(url)


async def test_processes_share_one_socket_and_one_that_is_killed_is_replaced(database_url: str) -> None:
    async with serve(database_url, "--processes", "2") as (process, url):
        await healthy(url)
        await until(lambda: len(workers(process)) == 2)
        killed = workers(process)[0]
        killed.kill()
        await until(lambda: len(workers(process)) == 2 and killed not in workers(process))
        await healthy(url)
        left = workers(process)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, PATIENCE) == 0
        assert not [child for child in left if child.is_running()]


async def test_workers_stop_when_their_parent_is_killed(database_url: str) -> None:
    async with serve(database_url, "--processes", "2") as (process, url):
        await healthy(url)
        await until(lambda: len(workers(process)) == 2)
        left = workers(process)
        process.kill()
        await until(lambda: not any(runs(one.pid) for one in left))


async def test_processes_that_have_become_too_old_for_the_database_end_and_are_not_restarted(
    database_url: str,
) -> None:
    async with serve(database_url, "--processes", "2") as (process, url):
        await healthy(url)
        await until(lambda: len(workers(process)) == 2)
        connection = await asyncpg.connect(database_url)
        await connection.execute("update angarium.installation set oldest_release = '99.0.0'")
        await connection.close()
        assert await asyncio.to_thread(process.wait, PATIENCE) == 1


@asynccontextmanager
async def receiver(hold: asyncio.Event | None = None) -> AsyncIterator[tuple[asyncio.Queue[Any], str]]:
    """Queues what it gets; with `hold` it answers only once that is set."""
    got: asyncio.Queue[Any] = asyncio.Queue()

    async def receive(request: aiohttp.web.BaseRequest) -> aiohttp.web.Response:
        await got.put(json.loads(await request.read()))
        if hold is not None:
            await hold.wait()
        return aiohttp.web.Response()

    runner = aiohttp.web.ServerRunner(aiohttp.web.Server(receive))
    await runner.setup()
    try:
        await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield got, f"http://{host}:{port}/"
    finally:
        await runner.cleanup()


async def send(session: aiohttp.ClientSession, target: str) -> None:
    """One message for one endpoint of a new application `one`."""
    for path, body in (
        ("app", {"name": "One", "uid": "one"}),
        ("app/one/endpoint", {"url": target}),
        ("app/one/msg", {"eventType": "a.b", "eventId": "m", "payload": {"n": 1}}),
    ):
        async with session.post(f"/api/v1/{path}", json=body) as answer:
            assert answer.status in {201, 202}, await answer.text()


async def test_an_api_process_and_a_dispatch_process_deliver_together(database_url: str) -> None:
    async with (
        receiver() as (got, target),
        serve(database_url, "--role", "api") as (_, url),
        serve(database_url, "--role", "dispatch"),
        aiohttp.ClientSession(url, headers={"authorization": f"Bearer {token()}"}) as session,
    ):
        await healthy(url)
        await send(session, target)
        assert await asyncio.wait_for(got.get(), PATIENCE) == {"n": 1}


async def test_a_stop_finishes_what_is_in_flight(database_url: str) -> None:
    hold = asyncio.Event()
    headers = {"authorization": f"Bearer {token()}"}
    async with receiver(hold) as (got, target):
        async with serve(database_url) as (process, url):
            await healthy(url)
            async with aiohttp.ClientSession(url, headers=headers) as session:
                await send(session, target)
            assert await asyncio.wait_for(got.get(), PATIENCE) == {"n": 1}
            process.send_signal(signal.SIGTERM)
            await refused(url)
            assert process.poll() is None
            hold.set()
            assert await asyncio.to_thread(process.wait, PATIENCE) == 0
        async with (
            serve(database_url) as (_, url),
            aiohttp.ClientSession(url, headers=headers) as session,
        ):
            await healthy(url)
            async with session.get("/api/v1/app/one/msg/m/endpoint") as answer:
                assert [one["status"] for one in (await answer.json())["data"]] == [0]
        assert got.empty()


async def refused(url: str) -> None:
    """Wait until no process listens any more."""
    deadline = time.monotonic() + PATIENCE
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < deadline:
            try:
                async with session.get(f"{url}/api/v1/health/ping"):
                    await asyncio.sleep(0.05)
            except aiohttp.ClientConnectionError:
                return
    raise AssertionError("still listening")
