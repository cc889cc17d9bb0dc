"""Measures what metrics and traces cost: alone, and a server under full load with and without them.

    python -m bench.telemetry --rounds 10 --seconds 2

Alone: the CPU time to count a recorded delivery, to write the page and to end a span; the best of several
rounds counts. Under load: four servers wait, and each round loads them in turn: one without, one with metrics
(scraped every two seconds), and two with traces. Only the ratios within a round are compared, because other
work on the machine changes the figures from one round to the next. `--rounds 0` measures alone only.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
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
from bench.rate import SINGLE, warm_up
from bench.receiver import Receiver, receiver
from bench.service import installation, serving
from bench.table import Table, number
from tests.kit.port import free_port

BATCHES: Final = (1, 20, 200, 1000)
DELIVERIES: Final = 20_000
ROUNDS: Final = 10
OFF: Final = "neither"
Measure = Callable[[float], Awaitable[Cost]]


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


@asynccontextmanager
async def prepared(directory: Path, to: Receiver, settings: dict[str, Any]) -> AsyncIterator[Measure]:
    """A server with these settings on a database of its own. Yields what measures it for some seconds."""
    port = settings.get("ANGARIUM_OPS_LISTEN", "").rpartition(":")[2]
    async with (
        installation(directory) as place,
        serving(place, **settings) as service,
        scraping(int(port) if port else None),
    ):
        load = SINGLE.load(service.url, await service.targets(to.url), service.token)
        await warm_up(SINGLE, load, to, 3.0)
        yield lambda seconds: spent(SINGLE, load, to, service, seconds)


async def compared(rounds: int, seconds: float) -> Table:
    costs: dict[str, list[Cost]] = defaultdict(list)
    async with AsyncExitStack() as stack:
        base = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="angarium-bench-")))
        for name in ("aside", "0", "1", "2", "3"):
            (base / name).mkdir()
        to = await stack.enter_async_context(receiver(base))
        collector = await stack.enter_async_context(receiver(base / "aside"))  # it costs almost nothing
        variants: dict[str, dict[str, Any]] = {
            OFF: {},
            "metrics": {"ANGARIUM_OPS_LISTEN": f"127.0.0.1:{free_port()}"},
            "metrics, traces of 1 %": {
                "ANGARIUM_OTLP_ENDPOINT": collector.url,
                "ANGARIUM_TRACE_RATIO": "0.01",
            },
            "metrics, traces of all": {"ANGARIUM_OTLP_ENDPOINT": collector.url, "ANGARIUM_TRACE_RATIO": "1"},
        }
        measures = {
            variant: await stack.enter_async_context(prepared(base / str(number), to, settings))
            for number, (variant, settings) in enumerate(variants.items())
        }
        for _ in range(rounds):
            for variant, measure in measures.items():
                costs[variant].append(await measure(seconds))
    table = Table(
        f"A server under full load, medians of {rounds} rounds of {seconds:g} s",
        ("with", "CPU µs a delivery", "times", "lowest", "highest", "deliveries/s"),
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
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    alone()
    if options.rounds:
        asyncio.run(compared(options.rounds, options.seconds)).show()


if __name__ == "__main__":
    main()
