"""Measure 1: deliveries a second, from the first request to the last receipt.

python -m bench.rate --seconds 10 --only "single"
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from rich.console import Console

from bench.ceiling import ceiling
from bench.load import Load, Target, send
from bench.receiver import Receiver, receiver
from bench.service import Installation, Service, installation, serving
from bench.table import Table, number, ratio

DRAIN: Final = 900.0  # seconds, at most, for what was accepted and not delivered yet


@dataclass(frozen=True, slots=True)
class Case:
    """One row. Its share of the whole length is `part`."""

    name: str
    batch: int = 1
    fan_out: int = 1
    size: int = 1000
    processes: int = 1
    applications: int = 1
    connections: int = 0  # 0: 64 for single messages, and 8 for batches
    part: float = 0.5
    lean: bool = False  # of a ceiling: it sends as the server's own sender does

    def load(self, url: str, targets: Sequence[Target], token: str = "") -> Load:
        if self.batch > 1:
            targets = [replace(target, path=f"{target.path}/batch") for target in targets]
        usual = 64 if self.batch == 1 else 8
        return Load(url, targets, token, self.batch, self.size, self.connections or usual)


SINGLE: Final = Case("single", part=1.0)
CROWDED: Final = Case("single, 256 connections", connections=256)
BATCH: Final = Case("batch of 100", batch=100, part=1.0)
CASES: Final = (
    SINGLE,
    CROWDED,
    BATCH,
    Case("single, fan-out 5", fan_out=5),
    Case("batch of 100, fan-out 5", batch=100, fan_out=5),
    Case("single, 0.2 kB", size=200),
    Case("single, 20 kB", size=20_000),
    Case("batch of 100, 0.2 kB", batch=100, size=200),
    Case("batch of 100, 20 kB", batch=100, size=20_000),
    Case("single, two processes", processes=2),
    Case("batch of 100, two processes", batch=100, processes=2),
    Case("single, two processes, 64 applications", processes=2, applications=64),
    Case("batch of 100, two processes, 64 applications", batch=100, processes=2, applications=64),
)
CEILINGS: Final = (
    SINGLE,
    CROWDED,
    BATCH,
    replace(SINGLE, name="single, two processes", processes=2, part=0.5),
    replace(SINGLE, name="single, over the sender's own connections", part=0.5, lean=True),
    replace(BATCH, name="batch of 100, over the sender's own connections", part=0.5, lean=True),
)


@dataclass(frozen=True, slots=True)
class Rate:
    """What one case reached. Rates are of deliveries a second."""

    case: Case
    delivered: int
    rate: float  # until the last receipt
    accepted_rate: float  # messages while the load lasted
    drain: float  # seconds from the end of the load to the last receipt
    answer_ms: tuple[float, float]
    load_cpu: float  # seconds of the load generator


async def run(case: Case, load: Load, to: Receiver, seconds: float) -> Rate:
    """Warm up, then measure. Raises unless everything that was accepted arrives."""
    await warm_up(case, load, to, brief(seconds))
    return await timed(case, load, to, seconds)


def brief(seconds: float) -> float:
    """How long to warm up before a measurement of so many seconds."""
    return max(1.0, min(3.0, seconds / 5))


async def warm_up(case: Case, load: Load, to: Receiver, seconds: float) -> None:
    before = await to.count()
    sent = await send(load, seconds)
    await to.completed(before + sent.accepted * case.fan_out, DRAIN)


async def timed(case: Case, load: Load, to: Receiver, seconds: float) -> Rate:
    before = await to.count()
    begun = time.monotonic()
    sent = await send(load, seconds)
    ended = time.monotonic()
    count, last = await to.completed(before + sent.accepted * case.fan_out, DRAIN)
    delivered = count - before
    if delivered > (sent.accepted + sent.unanswered) * case.fan_out:
        raise RuntimeError(f"{delivered} deliveries of {sent.accepted} accepted messages")
    return Rate(
        case, delivered, delivered / (last - begun), sent.accepted / sent.seconds,
        max(0.0, last - ended), sent.answer_ms, sent.cpu,
    )  # fmt: skip


async def of_ceiling(case: Case, seconds: float) -> Rate:
    with tempfile.TemporaryDirectory(prefix="angarium-bench-") as name:
        async with (
            receiver(Path(name)) as to,
            ceiling(
                Path(name), to.url, processes=case.processes, fan_out=case.fan_out, lean=case.lean
            ) as url,
        ):
            return await run(case, case.load(url, [Target("/msg")]), to, seconds * case.part)


@asynccontextmanager
async def standing(case: Case) -> AsyncIterator[tuple[Receiver, Installation, Service, Load]]:
    """A receiver, a server of its own for the case, and the load that is to be sent."""
    with tempfile.TemporaryDirectory(prefix="angarium-bench-") as name:
        async with (
            receiver(Path(name)) as to,
            installation(Path(name)) as place,
            serving(place, processes=case.processes) as service,
        ):
            targets = await service.targets(to.url, applications=case.applications, endpoints=case.fan_out)
            yield to, place, service, case.load(service.url, targets, service.token)


async def of_angarium(case: Case, seconds: float) -> Rate:
    """Raises unless the database, too, has every delivery as delivered in the end."""
    async with standing(case) as (to, place, _, load):
        rate = await run(case, load, to, seconds * case.part)
        await place.recorded(await to.count())
        return rate


def table(rates: Sequence[Rate], ceilings: Sequence[Rate], variant: Rate | None, seconds: float) -> Table:
    """Ratios first: to the ceiling of the same kind of load, and to the variant."""
    made = Table(
        f"Deliveries a second, sustained for {seconds:g} s (side rows {seconds / 2:g} s)",
        ("load (1 kB, fan-out 1, one process unless named)", "of the ceiling", "times Celery",
         "deliveries/s", "accepted/s", "drain s", "answer p50 ms", "p99 ms"),
    )  # fmt: skip
    for one in rates:
        top = next((c for c in ceilings if same_kind(c.case, one.case)), None)
        made.add(
            one.case.name,
            ratio(one.rate, top.rate) if top else "",
            ratio(one.rate, variant.rate) if variant else "",
            *_figures(one),
        )
    for top in ceilings:
        made.add(f"ceiling: {top.case.name}", "1.00", "", *_figures(top))
    if variant:
        made.add("FastAPI + Celery + Redis + requests", "", "1.00", *_figures(variant))
    return made


def same_kind(ceiling_case: Case, case: Case) -> bool:
    """Whether a ceiling is one for this case: everything but the name and the length is the same."""
    return replace(ceiling_case, name="", part=1.0) == replace(case, name="", part=1.0)


def _figures(one: Rate) -> tuple[str, ...]:
    p50, p99 = one.answer_ms
    return (number(one.rate), number(one.accepted_rate), f"{one.drain:.1f}", f"{p50:.1f}", f"{p99:.1f}")


async def measure(
    seconds: float, only: str = "", *, with_ceiling: bool = True, with_variant: bool = True
) -> Table:
    from bench import celery_variant

    ceilings = [await of_ceiling(case, seconds) for case in CEILINGS] if with_ceiling else []
    variant = await celery_variant.rate(seconds) if with_variant else None
    rates = [await of_angarium(case, seconds) for case in CASES if only in case.name]
    return table(rates, ceilings, variant, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--only", default="", help="rows whose name has this in it")
    parser.add_argument("--bare", action="store_true", help="neither ceiling nor variant")
    options = parser.parse_args()
    made = asyncio.run(
        measure(options.seconds, options.only, with_ceiling=not options.bare, with_variant=not options.bare)
    )
    made.show(Console(width=140))


if __name__ == "__main__":
    main()
