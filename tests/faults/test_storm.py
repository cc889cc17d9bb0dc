"""A cluster under load, and one fault after another: nothing is lost, repeated, overtaken or wrongly marked.

The short version has every fault once, in two clusters beside each other; the long one is a single run
of ANGARIUM_TEST_CYCLES faults drawn from ANGARIUM_TEST_SEED. ANGARIUM_TEST_FAULTS names the only ones that
are to strike, separated by semicolons.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from angarium.core import ids
from tests.faults.account import Account, report
from tests.faults.cluster import Cluster, Cycle, cluster
from tests.faults.customers import Tally
from tests.faults.fault import DISK_FULL, FAULTS, ROLLING, Fault, small_disk
from tests.faults.harness import LONG, PLANNED, a_while
from tests.faults.plan import Step, plan

SEED = int(os.environ.get("ANGARIUM_TEST_SEED", "5"))
ONLY = [name for name in os.environ.get("ANGARIUM_TEST_FAULTS", "").split(";") if name]
AFTER = 40 if LONG else 15  # messages accepted after a fault has ended, before the cycle ends


@pytest.mark.timeout(600 + 40 * PLANNED)
@pytest.mark.parametrize("where", ["everywhere"] if LONG else ["process, database", "host"])
async def test_whatever_fails_nothing_accepted_is_lost_repeated_or_wrongly_marked(
    directory: Path, where: str
) -> None:
    possible = [
        name for name, one in FAULTS.items() if LONG or (one.short and one.where in where.split(", "))
    ]
    with small_disk(directory / "disk") as mounted:
        possible = ONLY or possible
        steps = plan(SEED, PLANNED or len(possible), possible)
        cycles: dict[str, list[Cycle]] = {name: [] for name in possible}
        slowest: Counter[str] = Counter()
        wrong: list[str] = []
        async with cluster(directory, directory / "disk" / "own") as storm:
            for step in steps:
                cycle, seconds = await strike(storm, step)
                cycles[step.fault].append(cycle)
                slowest[step.fault] = max(slowest[step.fault], round(seconds))
                try:
                    judge(FAULTS[step.fault], cycle)
                except AssertionError as error:  # the others are of interest, too
                    repeated = [await storm.attempts(one) for _, _, one in cycle.tally.repeated[:5]]
                    wrong.append(f"{error}\nattempts at the first that were repeated: {repeated}")
    for name, found in cycles.items():
        if found:
            limited = name == DISK_FULL and not mounted
            line(name, found, slowest[name], "by a limit to the size of files" if limited else "")
    assert not wrong, "\n\n".join(wrong)


async def strike(storm: Cluster, step: Step) -> tuple[Cycle, float]:
    """One cycle: load, fault, repair, load, and the account once nothing is pending any more."""
    chance = random.Random(f"{step}")
    since = ids.lowest(time.time() - 5)  # a clock that was set while its process stood still is behind
    tally = storm.customers.tally = Tally()
    cycle = Cycle(tally)
    free, fifo, refused = set(storm.free), len(storm.fifo), storm.refused.copy()
    async with storm.load():
        await storm.until_accepted(step.after if LONG else step.after // 4)
        await asyncio.sleep(step.delay)
        recorded = await storm.recorded()
        async with FAULTS[step.fault].strike(storm, chance):
            await a_while()  # what was sent has been seen, and every running process has noticed
            cycle.in_flight = tally.requests - recorded
        await storm.ready()
        await storm.until_accepted(AFTER)
    seconds = await storm.drained()
    accepted, ordered = storm.free - free, storm.fifo[fifo:]
    cycle.accepted = len(accepted) + len(ordered)
    cycle.owed = 3 * len(accepted) + len(ordered)
    cycle.failed = dict(storm.refused - refused)
    cycle.lost = storm.missing(accepted, set(ordered))
    cycle.mismarked = await storm.mismarked(since)
    cycle.overtaken = storm.customers.overtaken(ordered)
    return cycle, seconds


def judge(fault: Fault, cycle: Cycle) -> None:
    said = f"{fault.name}: {cycle}"
    assert cycle.lost == 0, said
    assert cycle.mismarked == 0, said
    assert cycle.overtaken == 0, said
    assert cycle.tally.altered == 0, said
    assert cycle.tally.untimely == 0, said
    assert len(cycle.tally.repeated) <= (cycle.in_flight if fault.repeats else 0), said
    if fault.name == ROLLING:
        assert not cycle.failed, said


def line(name: str, cycles: list[Cycle], slowest: int, how: str = "") -> None:
    owed = sum(cycle.owed for cycle in cycles)
    lost = sum(cycle.lost for cycle in cycles)
    result = Account(
        accepted=sum(cycle.accepted for cycle in cycles),
        delivered=owed - lost,
        duplicates=sum(len(cycle.tally.repeated) for cycle in cycles),
        lost=lost,
    )
    in_flight = {"in_flight": sum(cycle.in_flight for cycle in cycles)} if FAULTS[name].repeats else {}
    report(
        f"{name}, {how}" if how else name, len(cycles), result, **in_flight,
        overtaken=sum(cycle.overtaken for cycle in cycles),
        wrongly_marked=sum(cycle.mismarked for cycle in cycles),
        all_delivered_after=f"{slowest} s at most",
    )  # fmt: skip
