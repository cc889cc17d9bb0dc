"""Computes what many deliveries need from the cost of one: cores, connections, WAL and disk.

python -m bench.plan --rate 100000 --server 150 --postgres 60 --wal 2900 --disk 1500
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench.table import Table

BUSY: Final = 0.6  # share of a core that may be used in the long run; the rest is for peaks and for recovery
SHARDS: Final = 64  # as many dispatchers can have work
CONNECTIONS: Final = 17  # of one process: 10 of the pool, 7 of its own
RATES: Final = (10_000, 100_000, 1_000_000)
DAYS: Final = 14
DAY: Final = 86_400


@dataclass(frozen=True, slots=True)
class Unit:
    """What one delivery costs."""

    server: float  # CPU microseconds
    postgres: float
    wal: float  # bytes
    disk: float  # bytes, indexes included, for as long as it is kept
    commits: float  # of 100


@dataclass(frozen=True, slots=True)
class Need:
    """What so many deliveries a second need."""

    rate: float
    processes: float
    postgres_cores: float
    connections: float
    wal_megabytes: float  # a second
    terabytes: float
    million_rows: float  # a day
    hours_to_freeze: float  # until 200 million transaction ids are used up


def need(rate: float, unit: Unit, days: float = DAYS, rows: float = 3) -> Need:
    """`rows` are those that are kept: message, delivery, attempt. One process uses one core."""
    processes = rate * unit.server / 1e6 / BUSY
    return Need(
        rate=rate,
        processes=processes,
        postgres_cores=rate * unit.postgres / 1e6 / BUSY,
        connections=processes * CONNECTIONS,
        wal_megabytes=rate * unit.wal / 1e6,
        terabytes=rate * unit.disk * DAY * days / 1e12,
        million_rows=rate * rows * DAY / 1e6,
        hours_to_freeze=200e6 / (rate * unit.commits / 100) / 3600 if unit.commits else float("inf"),
    )


def table(name: str, unit: Unit, rates: Sequence[float] = RATES, days: float = DAYS) -> Table:
    made = Table(
        f"What it takes, {name}",
        ("deliveries a second", *(f"{rate:,.0f}" for rate in rates)),
        note=f"From {unit.server:.0f} µs of CPU in the server and {unit.postgres:.0f} µs in PostgreSQL, "
        f"{unit.wal:,.0f} bytes of WAL and {unit.disk:,.0f} bytes of disk per delivery, {unit.commits:.2f} "
        f"commits per 100; cores are busy to {BUSY:.0%}, everything is kept for {days:g} days.",
    )
    needs = [need(rate, unit, days) for rate in rates]
    for label, texts in (
        ("server processes, one core each", [f"{one.processes:,.0f}" for one in needs]),
        (f"of the {SHARDS} that can deliver", [f"{one.processes / SHARDS:.1f} times" for one in needs]),
        ("PostgreSQL cores", [f"{one.postgres_cores:,.0f}" for one in needs]),
        ("database connections", [f"{one.connections:,.0f}" for one in needs]),
        ("WAL, MB a second", [f"{one.wal_megabytes:,.0f}" for one in needs]),
        ("disk, TB", [f"{one.terabytes:,.1f}" for one in needs]),
        ("rows a day, million", [f"{one.million_rows:,.0f}" for one in needs]),
        ("hours until old rows must be frozen", [f"{one.hours_to_freeze:,.0f}" for one in needs]),
    ):
        made.add(label, *texts)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, action="append", help="deliveries a second; may be repeated")
    for name, text in (
        ("server", "CPU microseconds of the server per delivery"),
        ("postgres", "CPU microseconds of PostgreSQL per delivery"),
        ("wal", "bytes of WAL per delivery"),
        ("disk", "bytes on disk per delivery"),
    ):
        parser.add_argument(f"--{name}", type=float, required=True, help=text)
    parser.add_argument("--commits", type=float, default=2.0, help="commits per 100 deliveries")
    parser.add_argument("--days", type=float, default=DAYS, help="how long everything is kept")
    given = parser.parse_args()
    unit = Unit(given.server, given.postgres, given.wal, given.disk, given.commits)
    table("from these costs", unit, given.rate or RATES, given.days).show()


if __name__ == "__main__":
    main()
