"""Under constant load every table stops growing."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

from angarium.store.database import Database
from angarium.store.retention import Retention
from bench.year import Year
from tests.kit.schemas import SCHEMAS

CONFIGURATION = {"migration", "organization", "event_type", "contact", "dispatcher"}  # no rows here
PAGE = Path(__file__).parents[2] / "docs/operating.md"


async def test_every_table_and_the_number_of_partitions_reach_a_plateau(database: Database) -> None:
    short = timedelta(days=8)
    kept = Retention(history=timedelta(days=10), audit=short, statistics=short, tasks=short)
    days = [day async for day in Year(database, 40, kept).days(40)]
    filled = {name for day in days for name, size in day.items() if size.rows}
    # keys last half a day, faults of killed processes an hour, and large messages seconds, so none
    # is left in the morning
    assert days[0].keys() - filled - CONFIGURATION == {"idempotency", "fault", "held_lane", "fan_out"}
    for name, last in days[-1].items():
        if name == "usage":  # a row for each application and month, kept for years
            continue
        assert max(day[name].rows for day in days[25:]) <= max(day[name].rows for day in days[:25]), name
        assert last.partitions == days[30][name].partitions, name


async def test_the_page_says_of_every_table_what_ends_its_rows(database: Database) -> None:
    async with database.connection() as connection:
        found = await connection.fetch(
            "select relname from pg_class where relkind in ('r', 'p') and not relispartition"
            " and relnamespace::regnamespace::text = any($1)",
            SCHEMAS,
        )
    section = PAGE.read_text().partition("## What ends, and when")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    listed = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert {row["relname"] for row in found} == listed
