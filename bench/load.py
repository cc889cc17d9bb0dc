"""Generates load with wrk and a script, as fast as responses arrive."""

from __future__ import annotations

import asyncio
import json
import resource
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from bench import payload, program

SCRIPT: Final = Path(__file__).with_name("post.lua")


@dataclass(frozen=True, slots=True)
class Target:
    """Where messages go, and their event type."""

    path: str
    event_type: str = "order.placed"


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent to a server. `size` is that of one payload, in bytes."""

    url: str
    targets: Sequence[Target]
    token: str = ""
    batch: int = 1
    size: int = 1000
    connections: int = 64


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of it. A request that was under way at the end is not counted; it may have been accepted."""

    accepted: int  # messages
    unanswered: int  # messages, at most
    seconds: float
    answer_ms: tuple[float, float]  # p50 and p99 of answers
    cpu: float  # seconds that it cost to send


class RefusedError(Exception):
    """The server did not take what it was sent."""


async def send(load: Load, seconds: float) -> Sent:
    """Keep all connections busy for so long. Raises RefusedError unless every answer was a success."""
    host = urlsplit(load.url).netloc
    head = f"Host: {host}\r\nContent-Type: application/json\r\n"
    if load.token:
        head += f"Authorization: Bearer {load.token}\r\n"
    with tempfile.TemporaryDirectory(prefix="angarium-load-") as name:
        texts = {
            "head": head,
            "targets": "".join(f"{target.path} {target.event_type}\n" for target in load.targets),
            "lines": payload.lines(load.size),
        }
        paths = []
        for key, text in texts.items():
            path = Path(name) / key
            path.write_text(text, newline="")
            paths.append(str(path))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        process = await asyncio.create_subprocess_exec(
            program.ensure("wrk"), "--threads", "1", "--connections", str(load.connections),
            "--duration", f"{max(1, round(seconds))}s", "--timeout", "30s", "--script", str(SCRIPT),
            load.url, "--", *paths, str(load.batch),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            printed, _ = await asyncio.wait_for(process.communicate(), seconds + 60)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode != 0:
        raise RefusedError(f"wrk ended with {process.returncode}: {printed.decode()[-1000:]}")
    told = json.loads(printed.decode().strip().rpartition("\n")[2])
    if told["refused"] or told["broken"]:
        raise RefusedError(
            f"{told['refused']} refused, {told['broken']} broken of {told['requests']} requests"
        )
    return Sent(
        told["requests"] * load.batch,
        load.connections * load.batch,
        told["seconds"],
        (told["p50"], told["p99"]),
        used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime,
    )
