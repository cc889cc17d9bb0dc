"""Programs written with Svix's SDKs run against our server without a change; see program.py."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Hooks, Server
from tests.e2e.verifier import Case, judged
from tests.kit.patience import PATIENCE
from tests.node.npm import BIN

HERE = Path(__file__).parent
NODE = HERE.parent / "node"
SVIX1 = Path(sys.prefix) / "svix1"

PROGRAMS = {
    "svix 2 for Python, sync": ("2.", (sys.executable, str(HERE / "program.py")), {"style": "sync"}),
    "svix 2 for Python, async": ("2.", (sys.executable, str(HERE / "program.py")), {"style": "async"}),
    "svix 1 for Python, sync": ("1.", (sys.executable, str(HERE / "program.py")), {"style": "sync"}),
    "svix 1 for Python, async": ("1.", (sys.executable, str(HERE / "program.py")), {"style": "async"}),
    "svix 2 for Node": ("2.", (str(BIN / "node"), str(NODE / "program.mjs")), {}),
}


async def run(program: str, server: Server, hooks: Hooks, name: str) -> dict[str, Any]:
    version, command, more = PROGRAMS[program]
    given = {"url": server.url, "token": server.token, "receiver": hooks.root, "name": name, **more}
    environment = os.environ | ({"PYTHONPATH": str(SVIX1)} if version == "1." else {})
    process = await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(json.dumps(given).encode()), PATIENCE)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, err.decode()
    said: dict[str, Any] = json.loads(out)
    assert said["version"].startswith(version)
    return said


@pytest.mark.parametrize("program", PROGRAMS)
async def test_a_program_uses_every_operation(program: str, server: Server, hooks: Hooks, fresh: str) -> None:
    said = await run(program, server, hooks, fresh)
    first, second = said["secrets"]
    main = f"/ok/{fresh}"

    # every message reached each of its three receivers, as often as its answers asked for
    for message in said["messages"]:
        counts = dict.fromkeys((main, f"/fail/{fresh}", f"/heal/{fresh}"), 0)
        for request in hooks.of(message):
            if request.path in counts:
                counts[request.path] += 1
        again = message == said["messages"][1]
        assert counts == {main: 1 + again, f"/fail/{fresh}": 4, f"/heal/{fresh}": 3}

    (before,) = [one for one in hooks.of(said["messages"][0]) if one.path == main]
    (after,) = [one for one in hooks.of(said["rotated"]) if one.path == main]
    assert before.header("x-given") == "at create"
    headers = {name: after.header(name) for name in ("x-given", "x-put", "x-patched", "authorization")}
    assert headers == {"x-given": None, "x-put": "1", "x-patched": "2", "authorization": "Bearer x"}
    assert [one.path for one in hooks.of(said["example"])] == [f"/heal/{fresh}"]
    assert json.loads(hooks.of(said["example"])[0].body) == {"n": 7}

    # what an endpoint missed, but for the message whose payload was forgotten (Node's program does not ask)
    missed = {one.header("webhook-id") for one in hooks.requests if one.path == f"{main}/new"}
    if "Python" in program:
        assert missed == {*said["messages"][1:], said["rotated"]}

    # one signature before the rotation, one for each of the two secrets after it
    assert len((before.header("webhook-signature") or "").split(" ")) == 1
    assert len((after.header("webhook-signature") or "").split(" ")) == 2
    cases = [
        Case.of(before, first),
        Case.of(before, second),
        Case.of(after, first),
        Case.of(after, second),
    ]
    two = ("standardwebhooks for Python", "svix for Node")
    for judge, verdicts in (await judged(cases, names=two)).items():
        assert verdicts == [True, False, True, True], judge
