"""Measure 6: the effect of messages with very many endpoints on a neighbor and on the server's memory.

    python -m bench.fan_out --seconds 20

It measures how long the neighbor's messages take to be accepted and to arrive. The neighbor sends at a fixed
rate all the time. Large messages come in a burst, one second after the start.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from bench.delay import delays, kept, quantile, stopwatch
from bench.fixed_rate import FixedRate
from bench.load import Target
from bench.receiver import receiver
from bench.service import Service, installation, serving
from bench.table import Table, number, ratio
from bench.usage import family, megabytes

PACE: Final = 100.0  # messages a second of the neighbour
WARM_UP: Final = 3.0
AT_ONCE: Final = 50  # requests with large messages under way
BEFORE: Final = 1.0  # seconds


@dataclass(frozen=True, slots=True)
class Burst:
    """So many messages, each to so many endpoints; `tried`: they are due at once, and not in a day."""

    messages: int
    endpoints: int
    tried: bool = True

    @property
    def name(self) -> str:
        if not self.messages:
            return "quiet"
        what = f"{self.messages:,} to {self.endpoints:,} endpoints"
        return what if self.tried else f"{what}, due later"


@dataclass(frozen=True, slots=True)
class Neighbour:
    """What it noticed. Milliseconds and megabytes; `accepted`: seconds until the burst was."""

    burst: Burst
    accept: tuple[float, float]
    arrive: tuple[float, float]
    memory: float
    accepted: float


QUIET: Final = Burst(0, 0)
BURSTS: Final = (
    QUIET,
    Burst(200, 1000),
    Burst(1000, 1000),
    Burst(1, 10_000),
    Burst(200, 1000, tried=False),
    Burst(1000, 1000, tried=False),
)


async def at(burst: Burst, seconds: float) -> Neighbour:
    """A server of its own for each, for what one leaves behind would be noticed by the next."""
    with tempfile.TemporaryDirectory(prefix="angarium-bench-") as name:
        async with (
            stopwatch(Path(name)) as watch,
            receiver(Path(name)) as crowd,
            installation(Path(name)) as place,
            serving(place, ANGARIUM_ENDPOINT_LIMIT="100000") as service,
        ):
            (neighbour,) = await service.targets(watch)
            (large,) = await service.targets(crowd.url, endpoints=max(1, burst.endpoints))
            pace = FixedRate(service.url, neighbour.path, service.token, PACE, WARM_UP)
            await delays(service.session, watch, (await kept(pace)).accepted)
            pace = FixedRate(service.url, neighbour.path, service.token, PACE, seconds)
            begun = asyncio.get_running_loop().time()
            steady = asyncio.create_task(kept(pace))
            most = asyncio.create_task(_highest(service, steady))
            await asyncio.sleep(BEFORE)
            await _send(service, large, burst)
            accepted = asyncio.get_running_loop().time() - begun - BEFORE
            sent = await steady
            arrived = await delays(service.session, watch, sent.accepted)
            answers = sorted(sent.answer_ms)
            return Neighbour(
                burst,
                (quantile(answers, 0.5), quantile(answers, 0.99)),
                (quantile(arrived, 0.5), quantile(arrived, 0.99)),
                await most,
                accepted,
            )


async def _send(service: Service, to: Target, burst: Burst) -> None:
    room = asyncio.Semaphore(AT_ONCE)
    body: dict[str, Any] = {"eventType": to.event_type, "payload": {"t": "0", "text": "x" * 1000}}
    if not burst.tried:
        body["deliverAt"] = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"
    headers = {"authorization": f"Bearer {service.token}", "content-type": "application/json"}

    async def one() -> None:
        async with (
            room,
            service.session.post(service.url + to.path, data=json.dumps(body), headers=headers) as answer,
        ):
            if answer.status != 202:
                raise RuntimeError(f"a large message was refused: {answer.status} {await answer.text()}")

    await asyncio.gather(*(one() for _ in range(burst.messages)))


async def _highest(service: Service, during: asyncio.Task[Any]) -> float:
    most = 0.0
    while not during.done():
        most = max(most, megabytes(family(*service.pids)))
        await asyncio.wait({during}, timeout=0.2)
    return most


def table(found: Sequence[Neighbour]) -> Table:
    made = Table(
        f"A neighbour at {PACE:.0f} messages a second beside large messages",
        (
            "beside",
            "accepted p50 ms",
            "p99 ms",
            "of quiet",
            "arrived p50 ms",
            "p99 ms",
            "server MB",
            "burst s",
        ),
        note="Counted from the moment a message was due to be sent. Burst: until all of it was accepted.",
    )
    for one in found:
        made.add(
            one.burst.name, *(f"{ms:.1f}" for ms in one.accept), ratio(one.accept[1], found[0].accept[1]),
            *(f"{ms:.1f}" for ms in one.arrive), number(one.memory), f"{one.accepted:.1f}",
        )  # fmt: skip
    return made


async def measure(seconds: float, bursts: Sequence[Burst] = BURSTS) -> list[Neighbour]:
    return [await at(burst, seconds) for burst in bursts]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="for which the neighbour sends")
    parser.add_argument("--only", type=int, help="of the bursts, by number from 0, beside the quiet one")
    options = parser.parse_args()
    bursts = BURSTS if options.only is None else (QUIET, BURSTS[options.only])
    table(asyncio.run(measure(options.seconds, bursts))).show()


if __name__ == "__main__":
    main()
