"""Measures what metrics and traces cost: alone, and a server under full load with and without them.

    python -m bench.telemetry --rounds 3 --seconds 5

Alone: the CPU time to count a recorded delivery, to write the page and to end a span; the best of several
rounds counts. Under load: each round measures a server without, then with metrics (scraped every two
seconds), then with traces. Only the ratios within a round are compared, because other work on the machine
changes the figures from one round to the next. `--rounds 0` measures alone only.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import aiohttp

from angarium.core import ids
from angarium.core.event import Attempted
from angarium.core.hold import Held
from angarium.core.lifecycle import Move
from angarium.core.trace import SpanKind
from angarium.shutdown import Shutdown
from angarium.telemetry.catalogue import CATALOGUE
from angarium.telemetry.combination import combined
from angarium.telemetry.exposition import exposition
from angarium.telemetry.measurement import Measurement
from angarium.telemetry.otlp.collector import Collector
from angarium.telemetry.otlp.tracer import OtlpTracer
from bench.cost import SERVER, Cost, spent
from bench.rate import SINGLE, brief, warm_up
from bench.receiver import Receiver, receiver
from bench.service import Installation, installation, serving
from bench.table import Table, number
from tests.kit.port import free_port

BATCHES: Final = (1, 20, 200, 1000)
DELIVERIES: Final = 20_000
ROUNDS: Final = 10
OFF: Final = "neither"


def attempted() -> Attempted:
    now = time.time()
    app_id = ids.new(now, os.urandom(8))
    return Attempted(
        *(app_id, "standard", Move.DELIVER, 200, None, False, 1, now, now, now, now + 0.02, Held.NO, 0.003)
    )


def best(work: Callable[[], object]) -> float:
    """Seconds of processor time."""
    found = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        work()
        found.append(time.process_time() - begun)
    return min(found)


def alone() -> None:
    measurement = Measurement("all")
    for size in BATCHES:
        batch = [attempted() for _ in range(size)]

        def record(batch: list[Attempted] = batch, size: int = size) -> None:
            for _ in range(DELIVERIES // size):
                measurement.events.recorded(batch, 0.01)

        print(f"batches of {size:>5}: {best(record) / DELIVERIES * 1e6:.2f} µs a delivery")
    print(f"its description: {best(lambda: [attempted() for _ in range(1000)]) * 1e3:.2f} µs, clock included")
    page = best(lambda: exposition(CATALOGUE, combined({"0": measurement.registry.snapshot()})))
    print(f"a scrape: {page * 1e3:.1f} ms")
    tracer = OtlpTracer(Collector("http://127.0.0.1:9", {}, "all", Shutdown()), 1.0, passes=False)

    def span() -> None:
        for _ in range(1000):
            made = tracer.root()
            assert made is not None
            tracer.ended(made, "attempt", SpanKind.CLIENT, {"http.request.method": "POST"}, links=[bytes(24)])

    print(f"a span, until it waits to be sent: {best(span) * 1e3:.1f} µs")


@asynccontextmanager
async def scraping(port: int | None) -> AsyncIterator[None]:
    """Reads `/metrics` meanwhile, if it is served."""
    if port is None:
        yield
        return

    async def scrape() -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                await asyncio.sleep(2)
                async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
                    answer.raise_for_status()
                    await answer.read()

    task = asyncio.create_task(scrape())
    try:
        yield
    finally:
        if task.done():
            task.result()  # it failed
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def loaded(
    place: Installation, to: Receiver, url: str, seconds: float, settings: dict[str, Any]
) -> Cost:
    """A server with these settings under full load. Its receiver is at `url`."""
    port = settings.get("ANGARIUM_OPS_LISTEN", "").rpartition(":")[2]
    async with serving(place, **settings) as service, scraping(int(port) if port else None):
        load = SINGLE.load(service.url, await service.targets(url), service.token)
        await warm_up(SINGLE, load, to, brief(seconds))
        return await spent(SINGLE, load, to, service, seconds)


async def compared(rounds: int, seconds: float) -> Table:
    costs: dict[str, list[Cost]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="angarium-bench-") as name:
        aside = Path(name) / "collector"
        aside.mkdir()
        async with (
            receiver(Path(name)) as to,
            receiver(aside) as collector,  # it takes what it gets, at almost no cost
            installation(Path(name)) as place,
        ):
            variants: dict[str, dict[str, Any]] = {
                OFF: {},
                "metrics": {"ANGARIUM_OPS_LISTEN": f"127.0.0.1:{free_port()}"},
                "traces of 1 %": {"ANGARIUM_OTLP_ENDPOINT": collector.url, "ANGARIUM_TRACE_RATIO": "0.01"},
                "traces of all": {"ANGARIUM_OTLP_ENDPOINT": collector.url, "ANGARIUM_TRACE_RATIO": "1"},
            }
            for _ in range(rounds):
                for variant, settings in variants.items():
                    costs[variant].append(await loaded(place, to, to.url, seconds, settings))
    table = Table(
        f"A server under full load for {seconds:g} s, medians of {rounds} rounds",
        ("with", "CPU µs a delivery", "of it without", "lowest", "highest", "deliveries/s, of it without"),
    )
    for variant, found in costs.items():
        cpu = [one.cpu[SERVER] for one in found]
        parts = [one.cpu[SERVER] / base.cpu[SERVER] for one, base in zip(found, costs[OFF], strict=True)]
        rates = [one.rate.rate / base.rate.rate for one, base in zip(found, costs[OFF], strict=True)]
        middle = statistics.median
        table.add(
            variant,
            number(middle(cpu)),
            *(f"{part:.3f}" for part in (middle(parts), min(parts), max(parts), middle(rates))),
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    alone()
    if options.rounds:
        asyncio.run(compared(options.rounds, options.seconds)).show()


if __name__ == "__main__":
    main()
