from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import aiohttp.web
import asyncpg

from angarium.server import open_files
from angarium.settings import Settings
from tests.kit.command import run
from tests.kit.patience import PATIENCE, until
from tests.kit.port import free_port
from tests.kit.process import runs, workers

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


def token() -> str:
    done = run("token", "--org", "org_test", ANGARIUM_JWT_SECRET=SECRET, ANGARIUM_SECRET_KEY=KEY)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


async def test_one_of_two_processes_is_replaced_when_killed_and_both_stop_with_their_parent(
    database_url: str,
) -> None:
    """They share one socket. Each has the limit of open files that it needs, also a later one."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    need = open_files.needed(Settings.model_validate({}), "all")
    async with AsyncExitStack() as stack:
        resource.setrlimit(resource.RLIMIT_NOFILE, (300, before[1]))  # it is inherited
        try:
            process, url = await stack.enter_async_context(serve(database_url, "--processes", "2"))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        await healthy(url)
        await until(lambda: len(workers(process.pid)) == 2)
        killed = workers(process.pid)[0]
        killed.kill()
        await until(lambda: len(workers(process.pid)) == 2 and killed not in workers(process.pid))
        await healthy(url)
        left = workers(process.pid)
        for pid in (process.pid, *(one.pid for one in left)):
            await until(lambda pid=pid: _file_limit(pid) >= need, "it may open what it needs")  # type: ignore[misc]
        process.kill()
        await until(lambda: not any(runs(one.pid) for one in left))


def _file_limit(pid: int) -> int:
    found = re.search(r"^Max open files\s+(\d+)", Path(f"/proc/{pid}/limits").read_text(), re.MULTILINE)
    assert found is not None, os.uname()
    return int(found[1])


async def test_processes_that_have_become_too_old_for_the_database_end_and_are_not_restarted(
    database_url: str,
) -> None:
    async with serve(database_url, "--processes", "2") as (process, url):
        await healthy(url)
        await until(lambda: len(workers(process.pid)) == 2)
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
        await post(session, path, body)


async def post(session: aiohttp.ClientSession, path: str, body: object) -> None:
    async with session.post(f"/api/v1/{path}", json=body) as answer:
        assert answer.status in {201, 202}, await answer.text()


async def test_a_stop_finishes_what_is_in_flight_and_two_roles_go_on_together(
    empty_database_url: str,
) -> None:
    """The first server migrates the database at its start. SIGTERM ends it, and SIGINT the others."""
    database_url = empty_database_url
    hold = asyncio.Event()
    headers = {"authorization": f"Bearer {token()}"}
    async with receiver(hold) as (got, target):
        async with serve(database_url, "--migrate") as (process, url):
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
            serve(database_url, "--role", "api") as (api, url),
            serve(database_url, "--role", "dispatch") as (dispatch, _),
            aiohttp.ClientSession(url, headers=headers) as session,
        ):
            await healthy(url)
            async with session.get("/api/v1/app/one/msg/m/endpoint") as answer:
                assert [one["status"] for one in (await answer.json())["data"]] == [0]
            assert got.empty()
            await post(session, "app/one/msg", {"eventType": "a.b", "payload": {"n": 2}})
            assert await asyncio.wait_for(got.get(), PATIENCE) == {"n": 2}, "the first one is not sent again"
            for process in (api, dispatch):
                process.send_signal(signal.SIGINT)
                assert await asyncio.to_thread(process.wait, PATIENCE) == 0
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
