"""Measure 2: the time from when a message is due until its receiver has it.

python -m bench.delay --seconds 10 --sustained 6000
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import aiohttp

from bench.child import child
from bench.fixed_rate import FixedRate, Kept
from bench.rate import SINGLE, of_angarium
from bench.service import Service, installation, serving
from bench.table import Table, number
from tests.kit.port import free_port

FIXED: Final = 500.0  # messages a second
SHARES: Final = (0.1, 0.5, 0.8)
ARRIVAL: Final = 60.0  # seconds, at most, after the last was sent
WARM_UP: Final = 2.0


@dataclass(frozen=True, slots=True)
class Delay:
    """At one pace; milliseconds."""

    name: str
    rate: float
    p50: float
    p99: float
    p999: float
    late: float  # share of messages that this machine had no time to send at their moment


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that so many are not above."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@asynccontextmanager
async def stopwatch(directory: Path) -> AsyncIterator[str]:
    port = free_port()
    command = (sys.executable, "-m", "bench.stopwatch", str(port))
    async with child(*command, log=directory / "stopwatch.log", port=port):
        yield f"http://127.0.0.1:{port}"


async def kept(pace: FixedRate) -> Kept:
    """The load at that pace, in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.fixed_rate",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        told, _ = await asyncio.wait_for(
            process.communicate(json.dumps(asdict(pace)).encode()), pace.seconds * 2 + 120
        )
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise RuntimeError("the load at a fixed pace ended early; see above")
    found = Kept(**json.loads(told))
    if found.refused:
        raise RuntimeError(f"{found.refused} of {found.refused + found.accepted} messages were refused")
    return found


async def delays(session: aiohttp.ClientSession, url: str, count: int) -> list[float]:
    """The delays of so many messages, in order of size. Raises TimeoutError when some do not arrive."""
    found: list[float] = []
    async with asyncio.timeout(ARRIVAL):
        while len(found) < count:
            async with session.get(url) as answer:
                found += json.loads(await answer.read())
            await asyncio.sleep(0.1)
    return sorted(found)


async def at(service: Service, receiver: str, path: str, name: str, rate: float, seconds: float) -> Delay:
    pace = FixedRate(service.url, path, service.token, rate, seconds)
    sent = await kept(pace)
    found = await delays(service.session, receiver, sent.accepted)
    p50, p99, p999 = (quantile(found, share) for share in (0.5, 0.99, 0.999))
    return Delay(name, rate, p50, p99, p999, sent.late / sent.accepted)


async def measure(seconds: float, sustained: float) -> list[Delay]:
    """At the fixed pace and at shares of a sustained rate, one after the other on one server."""
    with tempfile.TemporaryDirectory(prefix="angarium-bench-") as name:
        async with (
            stopwatch(Path(name)) as receiver,
            installation(Path(name)) as place,
            serving(place) as service,
        ):
            path = (await service.targets(receiver))[0].path
            await at(service, receiver, path, "warm-up", FIXED, WARM_UP)
            paces = [("500 a second", FIXED)]
            paces += [(f"{share:.0%} of the sustained rate", share * sustained) for share in SHARES]
            return [await at(service, receiver, path, name, rate, seconds) for name, rate in paces]


def table(found: Sequence[Delay]) -> Table:
    made = Table(
        "Delay from request to receipt, single messages of 1 kB",
        ("load", "messages/s", "p50 ms", "p99 ms", "p99.9 ms", "sent late"),
        note="Counted from the moment a message was due to be sent, at a fixed rate that never slows down.",
    )
    for one in found:
        made.add(one.name, number(one.rate), *(f"{ms:.1f}" for ms in (one.p50, one.p99, one.p999)),
                 f"{one.late:.1%}")  # fmt: skip
    return made


async def _alone(seconds: float, sustained: float | None) -> list[Delay]:
    return await measure(seconds, sustained or (await of_angarium(SINGLE, seconds)).rate)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each pace")
    parser.add_argument("--sustained", type=float, help="deliveries a second; measured first if not given")
    options = parser.parse_args()
    table(asyncio.run(_alone(options.seconds, options.sustained))).show()


if __name__ == "__main__":
    main()
