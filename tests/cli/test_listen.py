"""`angarium listen` over a connection that is cut again and again, and over kill -9."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from angarium.cli.listen import WAIT
from angarium.core.signature import verify
from angarium.service.listener import MAX_OF_APPLICATION
from tests.api.conftest import Api, Backend, api, backend, client, new_organization
from tests.api.serving import serving
from tests.kit.patience import PATIENCE, until
from tests.kit.receiver import Receiver, Reply

__all__ = ["api", "backend", "client", "new_organization"]

REPOSITORY = Path(__file__).parent.parent.parent


class Cutter:
    """A proxy in front of the server that cuts every connection on request."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: set[asyncio.StreamWriter] = set()
        self.cuts = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            self.cut()

    def cut(self) -> None:
        if self._writers:
            self.cuts += 1
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, inner_writer}
        await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))
        self._writers -= {writer, inner_writer}


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def listening(url: str, token: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The command at work; its output is to be read by the caller."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "angarium", "listen", "--name", "test", "--json", *arguments,
        cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"ANGARIUM_URL": url, "ANGARIUM_TOKEN": token},
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def lines(process: asyncio.subprocess.Process) -> list[dict[str, Any]]:
    """What the command printed until it ended."""
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert b"Traceback" not in err, err.decode()
    return [json.loads(line) for line in out.splitlines()]


def ids(receiver: Receiver) -> Counter[str | None]:
    return Counter(one.header("webhook-id") for one in receiver.requests)


@pytest.fixture
async def app(api: Api) -> str:
    return await api.application()


async def send(api: Api, app: str, number: int) -> str:
    body = {"eventType": "order.filled", "payload": {"n": number}}
    return str((await api.post(f"/app/{app}/msg", body, status=202))["id"])


@pytest.mark.timeout(180)
async def test_nothing_is_lost_over_fifty_cuts_and_a_kill(api: Api, app: str, backend: Backend) -> None:
    opened = await api.post(f"/app/{app}/listener", {"name": "test"}, status=200)
    async with serving(backend.app) as url, Receiver() as receiver:
        cutter = Cutter(int(url.rpartition(":")[2]))
        options = ("--forward-to", receiver.url, "--timeout", "1", "--parallel", "8")
        sent: list[str] = []

        async def disturb(cuts: int) -> None:
            while cutter.cuts < cuts:
                sent.append(await send(api, app, len(sent)))
                sent.append(await send(api, app, len(sent)))
                seen = receiver.count
                cutter.cut()
                with contextlib.suppress(AssertionError):
                    await until(lambda: receiver.count > seen, timeout=2)  # noqa: B023

        async with cutter.running() as cut_url:
            async with listening(cut_url, api.token, *options):
                await disturb(25)
            async with listening(cut_url, api.token, *options):
                await disturb(50)
                await until(lambda: len(ids(receiver)) == len(sent))
        assert cutter.cuts >= 50
        arrived = ids(receiver)
        assert set(arrived) == set(sent)
        # a cut may fall between the receiver's answer and its report: that delivery comes once more
        assert sum(arrived.values()) - len(arrived) <= (cutter.cuts + 1) * 8
        for request in receiver.requests:
            verify(request.body, dict(request.headers), [opened["secret"]], now=request.time)


async def test_answers_are_reported_and_the_code_says_how_it_went(
    api: Api, app: str, backend: Backend
) -> None:
    async with serving(backend.app) as url, Receiver() as receiver:
        receiver.plan(Reply(200), Reply(200), Reply(500, b"broken"))
        first = await api.post(f"/app/{app}/listener", {"name": "test"}, status=200)
        message = await send(api, app, 1)
        options = ("--forward-to", receiver.url, "--count", "1", "--header", "X-Mine: yes")
        async with listening(url, api.token, *options) as process:
            (line,) = await lines(process)
        assert (line["message"], line["status"], process.returncode) == (message, 200, 0)
        assert receiver.requests[0].header("x-mine") == "yes"
        assert receiver.requests[0].body == b'{"n":1}'
        await api.post(f"/app/{app}/msg/{message}/endpoint/{first['id']}/resend", status=202)
        async with listening(url, api.token, *options) as process:
            (line,) = await lines(process)
        assert (line["message"], line["attempt"]) == (message, 2)
        failing = await send(api, app, 2)
        async with listening(url, api.token, *options) as process:
            (line,) = await lines(process)
        assert (line["status"], process.returncode) == (500, 1)
        (attempt,) = (await api.get(f"/app/{app}/attempt/msg/{failing}"))["data"]
        assert (attempt["responseStatusCode"], attempt["response"]) == (500, "broken")
        assert attempt["endpointId"] == first["id"]


async def test_it_says_what_is_wrong_and_ends_in_time(api: Api, app: str, backend: Backend) -> None:
    nobody = ("--forward-to", "http://127.0.0.1:9/")
    async with serving(backend.app) as url:
        await api.post(f"/app/{app}/listener", {"name": "test"}, status=200)
        await send(api, app, 1)
        async with listening(url, api.token, *nobody, "--count", "1") as process:
            (line,) = await lines(process)
        assert (line["status"], process.returncode) == (0, 1)
        assert "Nothing listens at 127.0.0.1:9" in line["error"]
        async with listening(url, api.token, *nobody, "--count", "5", "--within", "1") as process:
            assert len(await lines(process)) < 5
        assert process.returncode == 1
        async with listening(url, "nonsense", *nobody) as process:
            _, err = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert process.returncode == 1
        assert b"Invalid token" in err
    async with listening("http://127.0.0.1:9", api.token, *nobody) as process:
        _, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == 3
    assert b"does not answer" in err


async def test_ctrl_c_ends_it_at_once_though_the_server_lets_it_wait(
    api: Api, app: str, backend: Backend
) -> None:
    await api.post(f"/app/{app}/listener", {"name": "test"}, status=200)
    joined = backend.services.listener._waiting._waiting
    async with serving(backend.app) as url:
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            await until(lambda: joined.total() == 0)
            async with listening(url, api.token, "--forward-to", "http://127.0.0.1:9/") as process:
                await until(lambda: joined.total() == 1)
                started = time.monotonic()
                process.send_signal(number)
                await lines(process)
                assert time.monotonic() - started < WAIT / 2
            assert process.returncode == code


async def test_it_waits_for_room_when_too_many_of_the_application_listen(
    api: Api, app: str, backend: Backend
) -> None:
    other = await api.post(f"/app/{app}/listener", {"name": "other", "eventTypes": ["other.*"]}, status=200)
    options = ("--count", "1", "--events", "order.*")
    async with serving(backend.app) as url, Receiver() as receiver, asyncio.TaskGroup() as group:
        place = f"/app/{app}/listener/{other['id']}/fetch"
        backend.clock.stop()
        waiting = [group.create_task(api.get(place, wait=30)) for _ in range(MAX_OF_APPLICATION)]
        joined = backend.services.listener._waiting._waiting
        await until(lambda: joined.total() == MAX_OF_APPLICATION)
        async with listening(url, api.token, "--forward-to", receiver.url, *options) as process:
            assert process.stderr is not None
            said = b""
            async with asyncio.timeout(PATIENCE):
                while b"reconnecting" not in said and (line := await process.stderr.readline()):
                    said += line
            assert b"Limit of waiting listeners reached for this application (20)" in said
            await send(api, app, 1)
            backend.clock.ahead = 40.0  # those who wait are answered
            (forwarded,) = await lines(process)
        assert (forwarded["status"], process.returncode) == (200, 0)
    assert [one.result()["data"] for one in waiting] == [[]] * MAX_OF_APPLICATION
