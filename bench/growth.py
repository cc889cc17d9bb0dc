"""Measure 5: how the cost of a delivery grows with endpoints, applications, the past, and dispatchers.

    python -m bench.growth --seconds 10 --attempts 300000

Each row sends single messages of 1 kB, each owed to one endpoint, drawn at random from all. The cost is the
CPU of server and PostgreSQL.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import history, looks
from bench.cost import POSTGRES, SERVER, Cost, spent
from bench.load import Target
from bench.rate import SINGLE, warm_up
from bench.receiver import receiver
from bench.service import Installation, installation, serving
from bench.table import Table, number, ratio

ATTEMPTS: Final = 10_000_000
ENDPOINTS: Final = 10_000
MOST_WARM: Final = 10.0  # seconds that lanes of many endpoints are given to be opened


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
    cost: Cost
    against: str  # the name of the row that it is compared with


def shapes(endpoints: int = ENDPOINTS) -> list[tuple[Shape, str]]:
    """Rows, and what each is compared with."""
    base = Shape("one application, one endpoint")
    divided = Shape("one dispatcher and an API process, 64 applications", 64, 1, 1)
    few, many = endpoints // 100, endpoints // 10
    return [
        (base, base.name),
        (Shape(f"{few:,} endpoints of {few // 10:,} applications", few // 10, 10), base.name),
        (Shape(f"{endpoints:,} endpoints of {many:,} applications", many, 10), base.name),
        (Shape(f"{many:,} applications, one endpoint each", many), base.name),
        (divided, divided.name),
        (Shape("two dispatchers", 64, 1, 2), divided.name),
        (Shape("four dispatchers", 64, 1, 4), divided.name),
    ]


async def of(place: Installation, directory: Path, shape: Shape, seconds: float) -> Cost:
    async with receiver(directory) as to, serving(place, dispatchers=shape.dispatchers) as service:
        targets: Sequence[Target] = await service.targets(
            to.url, applications=shape.applications, endpoints=shape.endpoints, apart=shape.endpoints > 1
        )
        load = SINGLE.load(service.url, targets, service.token)
        await warm_up(SINGLE, load, to, MOST_WARM if len(targets) > 1 and seconds > MOST_WARM else seconds)
        return await spent(SINGLE, load, to, service, seconds)


async def measure(
    seconds: float, *, attempts: int = ATTEMPTS, endpoints: int = ENDPOINTS
) -> tuple[list[Growth], Table]:
    """All rows, and what pages and lists take in the database with the long past."""
    found = []
    for shape, against in shapes(endpoints):
        with tempfile.TemporaryDirectory(prefix="angarium-bench-") as name:
            async with installation(Path(name)) as place:
                found.append(Growth(shape, await of(place, Path(name), shape, seconds), against))
    with tempfile.TemporaryDirectory(prefix="angarium-bench-") as name:
        async with installation(Path(name), durable=False) as place, place.connection() as connection:
            past = await history.make(connection, attempts)
        async with installation(Path(name)) as place:
            shape = Shape(f"one endpoint, with {past.attempts:,} attempts before")
            found.append(Growth(shape, await of(place, Path(name), shape, seconds), found[0].shape.name))
            seen = await looks.measure(place.postgres.url(), past.attempts)
    return found, seen


def compared(found: Sequence[Growth]) -> dict[str, float]:
    """By row: how many times the cost of the row that it is compared with."""
    costs = {one.shape.name: one.cost.engine for one in found}
    return {one.shape.name: one.cost.engine / costs[one.against] for one in found}


def table(found: Sequence[Growth]) -> Table:
    made = Table(
        "How the cost of a delivery grows",
        ("shape", "times the cost", "µs per delivery", "server", "PostgreSQL", "deliveries/s"),
        note="Costs are CPU microseconds. Rows with dispatchers are compared with the row of one dispatcher, "
        "the others with the first row.",
    )
    times = compared(found)
    for one in found:
        made.add(
            one.shape.name,
            ratio(times[one.shape.name], 1),
            *(number(value) for value in (one.cost.engine, one.cost.cpu[SERVER], one.cost.cpu[POSTGRES])),
            number(one.cost.rate.rate),
        )
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--attempts", type=int, default=ATTEMPTS)
    parser.add_argument("--endpoints", type=int, default=ENDPOINTS)
    options = parser.parse_args()
    found, seen = asyncio.run(
        measure(options.seconds, attempts=options.attempts, endpoints=options.endpoints)
    )
    for one in (table(found), seen):
        one.show()


if __name__ == "__main__":
    main()
