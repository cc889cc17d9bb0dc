"""Angarium as a process of its own, driven over its command line and its API, to be stopped or killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.kit.patience import PATIENCE


@dataclass(frozen=True, slots=True)
class Server:
    """A development server that is ready."""

    process: Process
    url: str
    token: str = field(repr=False)
    line: dict[str, Any] = field(repr=False)  # what it printed once it was ready

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)


async def announced(process: Process) -> dict[str, Any]:
    """What `angarium dev --json` prints once it is ready."""
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), PATIENCE)
    assert line, f"it ended before it was ready, with code {await asyncio.wait_for(process.wait(), PATIENCE)}"
    found: dict[str, Any] = json.loads(line)
    return found


async def end(process: Process) -> None:
    """SIGTERM, unless it has ended by itself, and wait for the end."""
    if process.returncode is None:
        process.terminate()
    await asyncio.wait_for(process.wait(), PATIENCE)


async def angarium(*arguments: str, stderr: int | None = PIPE, **variables: str) -> Process:
    """The command line, started; settings only from `variables`."""
    return await started(arguments, variables, stderr=stderr)


async def started(arguments: Sequence[str], variables: Mapping[str, str], **options: Any) -> Process:
    """The same, with options for its process."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANGARIUM_")}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "angarium.cli.main", *arguments),
        env=kept | {"ANGARIUM_LOG_LEVEL": "warning", "ANGARIUM_OPS_LISTEN": ""} | dict(variables),
        **({"stdin": DEVNULL, "stdout": PIPE, "stderr": PIPE} | options),
    )


@asynccontextmanager
async def dev(directory: Path, **variables: str) -> AsyncIterator[Server]:
    """`angarium dev` on a data directory; stopped (if it still runs) on leaving."""
    process = await angarium(
        "dev", "--json", "--port", "0", "--data", str(directory), stderr=None, **variables
    )
    try:
        line = await announced(process)
        yield Server(process, line["url"], line["token"], line)
    finally:
        await end(process)
