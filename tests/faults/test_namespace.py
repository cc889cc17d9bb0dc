"""Two hosts, one of which cannot reach the database while it still reaches the receivers.

The second dispatcher runs in a network namespace, with cables of its own to PostgreSQL and to the receivers;
the first is cut. Where there is no right to make one, the long version fails and says so; the short one is
done with a proxy in place of the cable, and the table says that.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.cable import lacking
from tests.faults.cluster import cluster
from tests.faults.fault import FAULTS, PARTITION
from tests.faults.harness import CYCLES, LONG
from tests.faults.plan import plan
from tests.faults.test_storm import SEED, judge, line, strike


@pytest.mark.timeout(300 + 60 * CYCLES)
async def test_a_host_that_is_cut_off_from_the_database_loses_repeats_and_reorders_nothing(
    directory: Path,
) -> None:
    missing = lacking()
    assert not (LONG and missing), (
        f"hosts of their own are network namespaces, and {missing}; run this as root with iproute2"
    )
    cycles, slowest = [], 0.0
    async with cluster(directory, directory / "disk", cable=missing is None) as storm:
        for step in plan(SEED, CYCLES, [PARTITION]):
            cycle, seconds = await strike(storm, step)
            judge(FAULTS[PARTITION], cycle)
            cycles.append(cycle)
            slowest = max(slowest, seconds)
    how = "two network namespaces" if missing is None else f"by a proxy, for {missing}"
    line(PARTITION, cycles, round(slowest), how)
