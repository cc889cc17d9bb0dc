"""Runs child processes: starts them on free ports, waits until they listen, and ends them by handle."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

START_DEADLINE: Final = 60.0
STOP_DEADLINE: Final = 60.0


async def until(condition: Callable[[], Awaitable[bool]], what: str, timeout: float = START_DEADLINE) -> None:
    """Ask until it is so. Raises TimeoutError that names what was waited for."""
    try:
        async with asyncio.timeout(timeout):
            while not await condition():  # noqa: ASYNC110 (what is asked is outside)
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise TimeoutError(f"not within {timeout:.0f} s: {what}") from None


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def _end_of(log: Path) -> str:
    return log.read_text()[-2000:]


@contextlib.asynccontextmanager
async def child(
    *command: str, log: Path, environment: Mapping[str, str] | None = None, port: int | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a process whose output goes to a file. On exit it is terminated, and killed if it does not end.

    With a port: wait until it listens there. Raises RuntimeError with its last output if it ends before.
    """
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            env=None if environment is None else {**os.environ, **environment},
        )  # fmt: skip
    try:
        if port is not None:

            async def ready() -> bool:
                if process.returncode is not None:
                    raise RuntimeError(f"{command[0]} ended: {_end_of(log)}")
                return await listens(port)

            await until(ready, f"{command[0]} listens at port {port}")
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_DEADLINE)
        except TimeoutError:
            process.kill()
            await process.wait()
