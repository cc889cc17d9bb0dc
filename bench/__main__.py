"""Runs all measures, one after the other: `make bench`, or `python -m bench --seconds 60 --out bench.md`.

Below 30 seconds the long past, the backlog and the number of endpoints are smaller, too.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bench import (
    celery_variant,
    cost,
    delay,
    fan_out,
    growth,
    machine,
    memory,
    plan,
    program,
    rate,
    report,
    target,
)
from bench.rate import BATCH, CROWDED, SINGLE
from bench.table import Table

SHORT = 30.0  # seconds; a run of less is a quick look


@dataclass(frozen=True, slots=True)
class Scale:
    """How much there is of what takes long to make."""

    attempts: int = growth.ATTEMPTS
    endpoints: int = growth.ENDPOINTS
    waiting: int = memory.WAITING


QUICK = Scale(attempts=300_000, endpoints=1_000, waiting=50_000)


async def run(seconds: float, scale: Scale, show: Console) -> tuple[list[Table], list[Table]]:
    """The tables of results, targets first, and those of plans; each is shown as soon as it is there."""
    made: list[Table] = []
    figures: dict[str, float] = {}
    side = seconds / 2
    begun = time.monotonic()

    def keep(*tables: Table) -> None:
        for one in tables:
            one.show(show)
            made.append(one)
        print(f"{time.monotonic() - begun:.0f} s so far", file=sys.stderr)

    ceilings = [await rate.of_ceiling(case, seconds) for case in rate.CEILINGS]
    variant = await celery_variant.rate(seconds)
    rates = [await rate.of_angarium(case, seconds) for case in rate.CASES]
    keep(rate.table(rates, ceilings, variant, seconds))
    single, batch = (next(one for one in rates if one.case == case) for case in (SINGLE, BATCH))
    figures[target.SINGLE_RATE] = single.rate
    figures[target.SINGLE_CEILING] = single.rate / ceilings[0].rate
    figures[target.BATCH_RATE] = batch.rate
    figures[target.CELERY] = single.rate / variant.rate

    delays = await delay.measure(seconds / 3, single.rate)
    keep(delay.table(delays))
    figures[target.P50], figures[target.P99] = delays[0].p50, delays[0].p99

    costs = await cost.measure(side)
    keep(*cost.tables(costs))
    full = next(one for one in costs if one.rate.case == CROWDED)
    figures[target.STATEMENTS] = sum(full.statements.values())
    figures[target.COMMITS] = full.per_delivery(full.entry.commits) * 100
    figures[target.ROWS] = costs[0].per_delivery(costs[0].entry.written.total())

    memories = await memory.measure(side, scale.waiting)
    keep(*memory.tables(memories))
    figures[target.REST] = memories.memories[0].total

    grown, seen = await growth.measure(seconds / 4, attempts=scale.attempts, endpoints=scale.endpoints)
    keep(growth.table(grown), *seen)
    if scale == Scale():
        figures[target.BY_ENDPOINTS] = grown[1].times
        figures[target.BY_PAST] = grown[-1].times

    bursts = fan_out.BURSTS if scale == Scale() else fan_out.BURSTS[:2]
    keep(fan_out.table(await fan_out.measure(max(10.0, seconds / 3), bursts)))

    met = target.table(figures)
    met.show(show)
    plans = [
        plan.table(f"{one.rate.case.name} (1 kB, fan-out 1)", one.unit) for one in costs if one is not full
    ]
    return [met, *made], plans


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of the two main rows; others have half")
    parser.add_argument("--out", type=Path, help="a Markdown file to write")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started is ended, too
    scale = QUICK if options.seconds < SHORT else Scale()
    try:
        for name in program.PACKAGES:
            program.ensure(name)
        where = machine.here()
        print(where.markdown(), file=sys.stderr)
        results, plans = asyncio.run(run(options.seconds, scale, Console(width=140)))
    except (program.NoProgramError, RuntimeError, TimeoutError) as error:
        sys.exit(f"the benchmark ended early: {error}")
    if options.out:
        options.out.write_text(report.text(where.markdown(), results, plans))


if __name__ == "__main__":
    main()
