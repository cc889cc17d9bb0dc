"""Ctrl-C and SIGTERM end each command that runs for long, in order, and with its exit code.

`serve` and `dev` are tested in test_serve.py and test_dev.py.
"""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.api.conftest import Api, Backend, api, backend, client, new_organization
from tests.api.serving import serving
from tests.kit.commands import commands, options
from tests.kit.patience import PATIENCE, until
from tests.kit.process import runs
from tests.kit.server import angarium, started

__all__ = ["api", "backend", "client", "new_organization"]

# the arguments of a command, and the end of the path that it calls again and again
WAITING = {
    "listen": (("--forward-to", "http://127.0.0.1:9/"), "/fetch"),
    "play": (("--subscribe", "--json"), "/request"),
    "message tail": ((), "/log"),
    "trigger": (("a.b", "a.b", "--gap", "600"), "/msg"),
    "application erase": (("one", "--yes"), "/background-task/"),
    "endpoint replay-missing": (("one", "--since", "1h"), "/task/"),
}
# these wait for a task with the code of another one
ALIKE = {
    "message erase": "application erase",
    "delivery resend": "endpoint replay-missing",
    "dead-letter resend": "endpoint replay-missing",
    "endpoint recover": "endpoint replay-missing",
}


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Tests that run in the background may ignore Ctrl-C, and the processes that they start would too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_each_command_that_runs_for_long_is_in_the_tables() -> None:
    long = {name for name, one in commands().items() if options(one) & {"--within", "--wait", "--gap"}}
    assert long == WAITING.keys() | ALIKE.keys()


class Watched:
    """An application of which a test sees the paths that are called."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.paths: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            self.paths.append(scope["path"])
        await self._app(scope, receive, send)


@pytest.mark.parametrize("name", WAITING)
async def test_ctrl_c_ends_it_with_130_and_leaves_nothing(api: Api, backend: Backend, name: str) -> None:
    assert await ended(api, backend, name, signal.SIGINT) == 130


async def test_sigterm_ends_it_with_143_and_leaves_nothing(api: Api, backend: Backend) -> None:
    assert await ended(api, backend, "play", signal.SIGTERM) == 143


async def ended(api: Api, backend: Backend, name: str, number: signal.Signals) -> int | None:
    """The exit code of a command to which the signal is sent while it waits."""
    app = await api.application(uid="one")
    await api.endpoint(app, uid="one")
    arguments, path = WAITING[name]
    watched = Watched(backend.app)
    async with serving(watched) as url:
        process = await angarium(*name.split(), *arguments, ANGARIUM_URL=url, ANGARIUM_TOKEN=api.token)
        try:
            await until(lambda: any(path in one for one in watched.paths), "it waits")
            process.send_signal(number)
            out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
        finally:
            if process.returncode is None:
                process.kill()
    assert b"Traceback" not in err, err.decode()
    if name == "play":
        await api.get(f"/app/{app}/inbox/{json.loads(out)['id']}/request", status=404)
        assert len((await api.get(f"/app/{app}/endpoint"))["data"]) == 1
    return process.returncode


async def test_ctrl_c_at_a_question_is_no_answer() -> None:
    controller, terminal = pty.openpty()
    try:
        place = {"ANGARIUM_URL": "http://127.0.0.1:9", "ANGARIUM_TOKEN": "t", "ANGARIUM_APP": "one"}
        process = await started(("endpoint", "delete", "one"), place, stdin=terminal)
        assert process.stderr is not None
        async with asyncio.timeout(PATIENCE):
            await process.stderr.readuntil(b"Continue?")
            process.send_signal(signal.SIGINT)
            _out, err = await process.communicate()
    finally:
        os.close(controller)
        os.close(terminal)
    assert process.returncode == 130
    assert b"Traceback" not in err


async def test_ctrl_c_ends_the_demo_with_its_server(tmp_path: Path) -> None:
    """A terminal sends it to the demo and to the server that the demo has started."""

    def left(file: str = "") -> list[Path]:
        return list(tmp_path.glob(f"angarium-demo-*{file}"))

    process = await started(("demo",), {"TMPDIR": str(tmp_path)}, start_new_session=True)
    try:
        await until(lambda: left("/postgres/postmaster.pid"), "it has started")
        children = [one.pid for one in psutil.Process(process.pid).children(recursive=True)]
        os.killpg(process.pid, signal.SIGINT)
        _out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130
    assert b"Traceback" not in err, err.decode()
    await until(lambda: not any(runs(pid) for pid in children), "its server and PostgreSQL have ended")
    assert not left()
