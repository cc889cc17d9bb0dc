"""Measure 9: the cost of a delivery with more processes, each of which accepts for the lanes of all.

    python -m bench.processes --seconds 10 --processes 1 2 4 8

Rows with one process come before and after the others, since the machine's speed drifts. On a machine with
fewer cores than processes the rate does not grow; the CPU of a delivery is what the measure is about.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import replace
from statistics import mean
from typing import Final

from bench.cost import POSTGRES, SERVER, Cost, spent
from bench.rate import SINGLE, brief, standing, warm_up
from bench.table import Table, number, ratio

APPLICATIONS: Final = 64
CONNECTIONS: Final = 128  # of the load, which the system divides among the processes


async def of(processes: int, seconds: float) -> Cost:
    """In a database of its own."""
    case = replace(
        SINGLE,
        name=f"{processes} processes",
        processes=processes,
        applications=APPLICATIONS,
        connections=CONNECTIONS,
    )
    async with standing(case) as (to, _, service, load):
        await warm_up(case, load, to, brief(seconds))
        return await spent(case, load, to, service, seconds)


async def measure(counts: Sequence[int], seconds: float) -> list[tuple[int, Cost]]:
    """One process first and last."""
    wanted = [1, *(count for count in counts if count != 1), 1]
    return [(count, await of(count, seconds)) for count in wanted]


def table(found: Sequence[tuple[int, Cost]]) -> Table:
    made = Table(
        f"One to many processes, {APPLICATIONS} applications",
        ("processes", "times the cost", "µs per delivery", "server", "PostgreSQL", "deliveries/s", "drain s"),
        note="CPU of server and PostgreSQL, compared with the mean of the rows with one process.",
    )
    one = mean(cost.engine for count, cost in found if count == 1)
    for count, cost in found:
        made.add(
            str(count),
            ratio(cost.engine, one),
            number(cost.engine),
            number(cost.cpu[SERVER]),
            number(cost.cpu[POSTGRES]),
            number(cost.rate.rate),
            f"{cost.rate.drain:.1f}",
        )
    return made


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.processes", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4, 8])
    options = parser.parse_args()
    table(asyncio.run(measure(options.processes, options.seconds))).show()


if __name__ == "__main__":
    main()
