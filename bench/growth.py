"""Measure 5: how the cost of a delivery grows with endpoints, applications, history, and dispatchers.

    python -m bench.growth --seconds 10 --attempts 300000

Each row sends single messages of 1 kB, each to one endpoint that is drawn at random from all. The cost is the
CPU time of server and PostgreSQL. The baseline of a row is measured before and after it, because the speed of
a shared machine varies. The history covers 90 days, with a partition for each. A second table shows the cost
of single statements in it (bench/hot.py).
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Final

from rich.console import Console

from bench import history, hot, views
from bench.cost import POSTGRES, SERVER, Cost, spent
from bench.load import Target
from bench.rate import SINGLE, brief, warm_up
from bench.receiver import Receiver, receiver
from bench.service import Installation, installation, serving
from bench.table import Table, number, ratio

ATTEMPTS: Final = 10_000_000
ENDPOINTS: Final = 10_000
# seconds a row, at most, of a quick look, which does not wait until all endpoints are open
QUICK: Final = 5.0
OPENING: Final = 30.0  # seconds in which most of 10,000 endpoints, drawn at random, get a first message


@dataclass(frozen=True, slots=True)
class Shape:
    """Who there is to send to, and who sends."""

    name: str
    applications: int = 1
    endpoints: int = 1  # of each application, with an event type each
    dispatchers: int = 0  # 0: one process does everything


@dataclass(frozen=True)
class Growth:
    shape: Shape
    costs: Sequence[Cost]
    against: Shape
    others: Sequence[Cost]  # of what it is compared with

    @property
    def times(self) -> float:
        return mean(cost.engine for cost in self.costs) / mean(cost.engine for cost in self.others)


BASE: Final = Shape("one application, one endpoint")
DIVIDED: Final = Shape("one dispatcher and an API process, 64 applications", 64, 1, 1)


def shapes(endpoints: int = ENDPOINTS) -> list[tuple[Shape, Shape]]:
    """Rows, and what each is compared with; the one with the most endpoints is the second."""
    few, many = endpoints // 100, endpoints // 10
    return [
        (Shape(f"{few:,} endpoints of {few // 10:,} applications", few // 10, 10), BASE),
        (Shape(f"{endpoints:,} endpoints of {many:,} applications", many, 10), BASE),
        (Shape(f"{many:,} applications, one endpoint each", many), BASE),
        (Shape("two dispatchers", 64, 1, 2), DIVIDED),
        (Shape("four dispatchers", 64, 1, 4), DIVIDED),
    ]


async def fresh(shape: Shape, seconds: float) -> Cost:
    """In a database of its own."""
    with tempfile.TemporaryDirectory(prefix="angarium-bench-") as name:
        async with installation(Path(name)) as place:
            return await of(place, shape, seconds)


@asynccontextmanager
async def _receiver() -> AsyncIterator[Receiver]:
    """In a directory of its own, for an installation may be measured more than once."""
    with tempfile.TemporaryDirectory(prefix="angarium-bench-") as name:
        async with receiver(Path(name)) as to:
            yield to


async def of(place: Installation, shape: Shape, seconds: float) -> Cost:
    async with _receiver() as to, serving(place, dispatchers=shape.dispatchers) as service:
        targets: Sequence[Target] = await service.targets(
            to.url, applications=shape.applications, endpoints=shape.endpoints, apart=shape.endpoints > 1
        )
        load = SINGLE.load(service.url, targets, service.token)
        wide = len(targets) > 100 and seconds > QUICK
        await warm_up(SINGLE, load, to, OPENING if wide else brief(seconds))
        return await spent(SINGLE, load, to, service, seconds)


async def compared(
    shape: Shape, against: Shape, measured: Callable[[], Awaitable[Cost]], seconds: float
) -> Growth:
    """Twice, between two measurements of what it is compared with: a drift of the machine falls out."""
    first = await fresh(against, seconds)
    costs = [await measured(), await measured()]
    return Growth(shape, costs, against, [first, await fresh(against, seconds)])


async def measure(
    seconds: float, *, attempts: int = ATTEMPTS, endpoints: int = ENDPOINTS
) -> tuple[list[Growth], list[Table]]:
    """All rows, the one with the long past last, and the tables of that database."""
    found = [
        await compared(shape, against, partial(fresh, shape, seconds), seconds)
        for shape, against in shapes(endpoints)
    ]
    with tempfile.TemporaryDirectory(prefix="angarium-bench-") as name:
        grown, tables = await after_past(Path(name), attempts, seconds)
    return [*found, grown], tables


async def after_past(directory: Path, attempts: int, seconds: float) -> tuple[Growth, list[Table]]:
    """The row with the long past, and what statements, pages and lists take there. The past is made unless
    the directory has one."""
    async with installation(directory, durable=False) as place, place.connection() as connection:
        past = await history.there_or_made(connection, attempts)
    with tempfile.TemporaryDirectory(prefix="angarium-bench-") as empty:
        statements = await hot.measure(directory, Path(empty))
    shape = Shape(f"one endpoint, with {past:,} attempts before")

    async def later() -> Cost:
        async with installation(directory) as place:
            return await of(place, shape, seconds)

    grown = await compared(shape, BASE, later, seconds)
    async with installation(directory) as place:
        seen = await views.measure(place.postgres.url(), past)
    return grown, [statements, seen]


def table(found: Sequence[Growth]) -> Table:
    made = Table(
        "How the cost of a delivery grows",
        (
            "shape",
            "times the cost",
            "µs per delivery",
            "server",
            "PostgreSQL",
            "deliveries/s",
            "compared with",
        ),
        note="CPU microseconds, means of two; what a row is compared with was measured before and after it.",
    )
    for one in found:
        made.add(
            one.shape.name,
            ratio(one.times, 1),
            number(mean(cost.engine for cost in one.costs)),
            *(number(mean(cost.cpu[part] for cost in one.costs)) for part in (SERVER, POSTGRES)),
            number(mean(cost.rate.rate for cost in one.costs)),
            f"{one.against.name}: {number(mean(cost.engine for cost in one.others))} µs",
        )
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--attempts", type=int, default=ATTEMPTS)
    parser.add_argument("--endpoints", type=int, default=ENDPOINTS)
    parser.add_argument("--past", type=Path, help="only what is beside a long past, kept in this directory")
    options = parser.parse_args()
    if options.past:
        grown, tables = asyncio.run(after_past(options.past, options.attempts, options.seconds))
        found = [grown]
    else:
        found, tables = asyncio.run(
            measure(options.seconds, attempts=options.attempts, endpoints=options.endpoints)
        )
    for one in (table(found), *tables):
        one.show(Console(width=200))


if __name__ == "__main__":
    main()
