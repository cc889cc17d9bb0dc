"""Measure 3: the cost of a delivery: CPU time by process and by stage, and the work of the database.

    python -m bench.cost --seconds 10 --stacks stacks.txt

There are three passes under the same full load: one is timed and counted, one is sampled, and one has its
statements logged, so that observing does not change the measurement.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.ledger import Entry, counted, listed
from bench.load import Load
from bench.plan import Unit
from bench.rate import BATCH, CROWDED, SINGLE, Case, Rate, brief, standing, timed, warm_up
from bench.receiver import Receiver
from bench.service import Installation, Service
from bench.stage import STAGES, sample
from bench.table import Table, number
from bench.usage import Meter, family

CASES: Final = (SINGLE, CROWDED, BATCH)
SAMPLED: Final = 15.0  # seconds, at most, of the second pass
LISTED: Final = 5.0  # of the third
SERVER, POSTGRES, LOAD, RECEIVER = "server", "PostgreSQL", "load generator", "receiver"
TABLES: Final = ("message", "payload", "pending", "retry", "attempt")
_DISK: Final = """
select sum(pg_total_relation_size(coalesce(p.relid, t::regclass)))::float / (select count(*) from delivery)
from unnest($1::text[]) t
left join lateral pg_partition_tree(t::regclass) p on true
"""


@dataclass
class Cost:
    """Of one case. CPU is in microseconds per delivery."""

    rate: Rate
    cpu: dict[str, float]
    stages: dict[str, float] = field(default_factory=dict)  # of the server's part; empty without a profiler
    entry: Entry = field(default_factory=Entry)
    disk: float = 0.0  # bytes per delivery, with all indexes
    statements: Mapping[str, float] = field(default_factory=dict)  # per 100 deliveries, by name

    @property
    def engine(self) -> float:
        """What Angarium itself takes: server and PostgreSQL."""
        return self.cpu[SERVER] + self.cpu[POSTGRES]

    @property
    def unit(self) -> Unit:
        """What plans are made from."""
        wal, commits = (self.per_delivery(n) for n in (self.entry.wal_bytes, self.entry.commits))
        return Unit(self.cpu[SERVER], self.cpu[POSTGRES], wal, self.disk, commits * 100)

    def per_delivery(self, count: float) -> float:
        return count / self.rate.delivered


async def spent(case: Case, load: Load, to: Receiver, service: Service, seconds: float) -> Cost:
    """The first pass, without the database's counts."""
    place = service.installation
    meter = Meter.of(
        {
            SERVER: lambda: family(*service.pids),
            POSTGRES: lambda: family(place.postgres.pid),
            RECEIVER: lambda: family(to.pid),
        }
    )
    rate = await timed(case, load, to, seconds)
    await place.recorded()
    cpu = {name: used / rate.delivered * 1e6 for name, used in meter.spent().items()}
    return Cost(rate, cpu | {LOAD: rate.load_cpu / rate.delivered * 1e6})


async def of(case: Case, seconds: float, stacks: Path | None = None) -> Cost:
    async with standing(case) as (to, place, service, load):
        await warm_up(case, load, to, brief(seconds))
        async with counted(place) as entry:
            cost = await spent(case, load, to, service, seconds)
        cost.entry = entry
        cost.disk = await place.ask(_DISK, list(TABLES))
        cost.stages = await _stages(case, load, to, service, min(seconds, SAMPLED), stacks)
        cost.statements = await _statements(case, load, to, place, min(seconds, LISTED))
        return cost


async def _stages(
    case: Case, load: Load, to: Receiver, service: Service, seconds: float, stacks: Path | None
) -> dict[str, float]:
    async with asyncio.TaskGroup() as group:
        sampling = group.create_task(sample(family(*service.pids), seconds, stacks))
        await timed(case, load, to, seconds + 1)
    return dict(sampling.result())


async def _statements(
    case: Case, load: Load, to: Receiver, place: Installation, seconds: float
) -> dict[str, float]:
    async with listed(place) as entry:
        rate = await timed(case, load, to, seconds)
        await place.recorded()
    return {name: count / rate.delivered * 100 for name, count in entry.statements.most_common()}


def tables(costs: list[Cost]) -> list[Table]:
    names = tuple(cost.rate.case.name for cost in costs)
    by_process = Table("CPU microseconds per delivery, by process", ("process", *names))
    for process in (SERVER, POSTGRES, LOAD, RECEIVER):
        by_process.add(process, *(number(cost.cpu[process]) for cost in costs))
    by_process.add("server and PostgreSQL", *(number(cost.engine) for cost in costs))
    by_process.add("all", *(number(sum(cost.cpu.values())) for cost in costs))
    by_process.add("deliveries/s meanwhile", *(number(cost.rate.rate) for cost in costs))
    found = [by_process]
    if all(cost.stages for cost in costs):
        by_stage = Table("CPU microseconds per delivery in the server, by stage", ("stage", *names))
        for stage in STAGES:
            by_stage.add(stage, *(number(cost.stages[stage] * cost.cpu[SERVER]) for cost in costs))
        found.append(by_stage)
    return [*found, _database(costs, names)]


def _database(costs: list[Cost], names: tuple[str, ...]) -> Table:
    table = Table("The database's part", ("what", *names))
    table.add("statements per 100 deliveries", *(f"{sum(c.statements.values()):.2f}" for c in costs))
    every = {name for cost in costs for name, count in cost.statements.items() if count >= 0.005}
    for name in sorted(every, key=lambda name: -max(c.statements.get(name, 0) for c in costs)):
        table.add(f"  {name}", *(f"{c.statements.get(name, 0):.2f}" for c in costs))
    table.add("commits per 100 deliveries", *(f"{c.per_delivery(c.entry.commits) * 100:.2f}" for c in costs))
    table.add("bytes of WAL per delivery", *(number(c.per_delivery(c.entry.wal_bytes)) for c in costs))
    table.add("bytes on disk per delivery, indexes included", *(number(c.disk) for c in costs))
    rows = [c.entry.written for c in costs]
    table.add("rows written per delivery",
              *(f"{c.per_delivery(w.total()):.2f}" for c, w in zip(costs, rows, strict=True)))  # fmt: skip
    for name in TABLES:
        table.add(f"  {name}", *(f"{c.per_delivery(w[name]):.2f}" for c, w in zip(costs, rows, strict=True)))
    table.add("updates of retry that touch no index (HOT)",
              *(f"{c.entry.hot / max(1, c.entry.updated):.0%}" for c in costs))  # fmt: skip
    return table


async def measure(seconds: float, stacks: Path | None = None) -> list[Cost]:
    return [await of(case, seconds, stacks) for case in CASES]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--stacks", type=Path, help="keep the sampled stacks, for flame graphs")
    options = parser.parse_args()
    for table in tables(asyncio.run(measure(options.seconds, options.stacks))):
        table.show()


if __name__ == "__main__":
    main()
