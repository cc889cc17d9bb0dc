"""Measure 4: memory at rest, under load and with a backlog; the cost of idling; the time of a start.

python -m bench.memory --seconds 10 --waiting 100000
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from bench import history, payload
from bench.child import child, until
from bench.load import Load, send
from bench.rate import DRAIN
from bench.receiver import receiver
from bench.service import Service, application_id, installation, serving
from bench.table import Table, number
from bench.usage import cpu_seconds, family, megabytes, wakes
from tests.kit.port import free_port

IDLE: Final = 20.0  # seconds over which idling is watched
REST: Final = 3.0  # seconds after a start, before anything is measured
WAITING: Final = 1_000_000
NOBODY: Final = "http://127.0.0.1:9/"  # refuses every connection
PARTS: Final = ("server", "PostgreSQL")


@dataclass(frozen=True, slots=True)
class Memory:
    """Megabytes (PSS) of server and PostgreSQL."""

    name: str
    server: float
    postgres: float

    @property
    def total(self) -> float:
        return self.server + self.postgres


@dataclass(frozen=True, slots=True)
class Idle:
    """What one part does each second when it is idle."""

    part: str
    cpu_ms: float
    wakes: float


@dataclass(frozen=True, slots=True)
class Found:
    memories: list[Memory]
    idles: list[Idle]
    starts: list[tuple[str, float]]  # seconds


def _memory(name: str, service: Service) -> Memory:
    postgres = service.installation.postgres.pid
    return Memory(name, megabytes(family(*service.pids)), megabytes(family(postgres)))


async def _highest(name: str, service: Service, during: asyncio.Task[object]) -> Memory:
    """The most it was during the task."""
    most = _memory(name, service)
    while not during.done():
        now = _memory(name, service)
        most = max(most, now, key=lambda memory: memory.total)
        await asyncio.wait({during}, timeout=0.5)
    return most


async def _idle(service: Service) -> list[Idle]:
    groups: dict[str, Callable[[], list[int]]] = {
        PARTS[0]: lambda: family(*service.pids),
        PARTS[1]: lambda: family(service.installation.postgres.pid),
    }
    before = {part: (cpu_seconds(pids()), wakes(pids())) for part, pids in groups.items()}
    await asyncio.sleep(IDLE)
    return [
        Idle(
            part,
            (cpu_seconds(pids()) - before[part][0]) * 1000 / IDLE,
            (wakes(pids()) - before[part][1]) / IDLE,
        )
        for part, pids in groups.items()
    ]


async def measure(seconds: float, waiting: int = WAITING) -> Found:
    memories: list[Memory] = []
    with tempfile.TemporaryDirectory(prefix="angarium-bench-") as name:
        async with receiver(Path(name)) as to, installation(Path(name)) as place:
            async with serving(place) as service:
                await asyncio.sleep(REST)
                memories.append(_memory("at rest, after a start", service))
                idles = await _idle(service)
                targets = await service.targets(to.url)
                load = Load(service.url, targets, service.token)
                sending = asyncio.create_task(send(load, seconds))
                memories.append(await _highest("under full load of single messages", service, sending))
                await to.completed(sending.result().accepted, DRAIN)
                memories.append(_memory("at rest, after that load", service))
                (target,) = await service.targets(NOBODY)
                app = application_id(target)
            async with place.connection() as connection:
                endpoint = await connection.fetchval("select id from endpoint where app_id = $1", app)
                body = f'{{"n":1,"lines":[{payload.lines(1000)}]}}'
                await history.wait_for(connection, app, endpoint, waiting, body)
            async with serving(place) as service:
                resting = asyncio.create_task(asyncio.sleep(max(5.0, seconds / 3)))
                memories.append(await _highest(f"with {waiting:,} deliveries waiting", service, resting))
    return Found(memories, idles, await starts())


async def starts() -> list[tuple[str, float]]:
    """Seconds from starting the process to the first 2xx, embedded PostgreSQL included."""
    found = []
    environment = {
        "ANGARIUM_JWT_SECRET": secrets.token_urlsafe(48),
        "ANGARIUM_SECRET_KEY": base64.b64encode(os.urandom(32)).decode(),
        "ANGARIUM_OPS_LISTEN": "",
    }
    with tempfile.TemporaryDirectory(prefix="angarium-bench-") as name:
        for what in ("first start, which makes the database", "every other start"):
            port = free_port()
            command = (
                sys.executable, "-m", "angarium", "serve", "--migrate",
                "--listen", f"127.0.0.1:{port}", "--data", f"{name}/data",
            )  # fmt: skip
            begun = time.monotonic()
            async with (
                child(*command, log=Path(name) / "log", environment=environment),
                aiohttp.ClientSession() as session,
            ):

                async def answers(session: aiohttp.ClientSession = session, port: int = port) -> bool:
                    try:
                        async with session.get(f"http://127.0.0.1:{port}/api/v1/health") as answer:
                            return answer.status == 200
                    except aiohttp.ClientError:
                        return False

                await until(answers, "the server answers")
                found.append((what, time.monotonic() - begun))
    return found


def tables(found: Found) -> list[Table]:
    memory = Table("Memory in MB (PSS)", ("when", "all", "server", "PostgreSQL"))
    for one in found.memories:
        memory.add(one.name, number(one.total), number(one.server), number(one.postgres))
    idle = Table(f"Idle, over {IDLE:g} s", ("process", "CPU ms each second", "times woken each second"))
    for quiet in found.idles:
        idle.add(quiet.part, f"{quiet.cpu_ms:.1f}", f"{quiet.wakes:.1f}")
    start = Table("Start, to the first answer 2xx", ("what", "seconds"))
    for name, seconds in found.starts:
        start.add(name, f"{seconds:.2f}")
    return [memory, idle, start]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="of the load")
    parser.add_argument("--waiting", type=int, default=WAITING)
    options = parser.parse_args()
    for table in tables(asyncio.run(measure(options.seconds, options.waiting))):
        table.show()


if __name__ == "__main__":
    main()
