"""How long messages take to arrive, and what a process has in memory."""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass

import msgspec

from tests.faults.harness import Client
from tests.kit.receiver import Received, Reply


class Latency:
    """Answers, and notes how long each message took to come. The payload says when it was `sent`."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def __call__(self, request: Received) -> Reply:
        self.times.append(time.monotonic() - msgspec.json.decode(request.body)["sent"])
        return Reply()

    def take(self) -> list[float]:
        times, self.times = self.times, []
        return times


@dataclass(frozen=True)
class Spread:
    """Of some times, in seconds."""

    p50: float
    p95: float
    p99: float

    def __str__(self) -> str:
        return f"p50 {self.p50 * 1000:.1f} ms, p95 {self.p95 * 1000:.1f} ms, p99 {self.p99 * 1000:.1f} ms"

    def over(self, other: Spread) -> str:
        """As a multiple of another."""
        return (
            f"p50 {self.p50 / other.p50:.2f}, p95 {self.p95 / other.p95:.2f}, p99 {self.p99 / other.p99:.2f}"
        )


def spread(times: list[float]) -> Spread:
    found = statistics.quantiles(times, n=100)
    return Spread(found[49], found[94], found[98])


async def steady(api: Client, apps: list[str], seconds: float, rate: float) -> int:
    """`rate` messages a second at an even rate, to one application after the other, whatever becomes of
    those before; returns how many."""
    end = time.monotonic() + seconds
    at = time.monotonic()
    sent = 0
    async with asyncio.TaskGroup() as group:
        while at < end:
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            group.create_task(api.send(apps[sent % len(apps)], {"sent": time.monotonic()}))
            sent += 1
            at += 1 / rate
    return sent
