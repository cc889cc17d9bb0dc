"""Measure what counting use costs: the hot statements with and without the row that they count in.

    python -m bench.counting [--rounds 60]

Two applications in one database do the same in turn, over a connection each. The statements of one have lost
the part that inserts into `usage_entry`. A row shows the CPU time of PostgreSQL for the median call, and the
median of the ratios of neighbouring calls, in which drift of the machine cancels out. The last rows are what
adds the counts up.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import tempfile
from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.console import Console

from angarium.core.quota import month_of
from angarium.store import usage
from angarium.store.connection import Connection
from angarium.store.database import Database
from bench.hot import WARM, Scene
from bench.service import installation
from bench.table import Table, number

ROUNDS: Final = 60
ENTRIES: Final = 1000  # added up at once
_COUNTED: Final = re.compile(r"^counted as \(\n.*?^\),\n", re.MULTILINE | re.DOTALL)
_PARAMETER: Final = re.compile(r"\$\d+::\w+")
_COUNTS: Final = ("accept", "complete")  # verbs that count
_ENTER: Final = """
insert into usage_entry (app_id, month, messages)
select id, $1, 1 from generate_series(1, $2) n
join (select id, row_number() over () as place, count(*) over () as all_of from application) a
  on a.place = n % least($3, a.all_of) + 1
"""


def uncounted(sql: str) -> tuple[str, int]:
    """A statement without the part that counts, and how many such parts it had."""
    # what is left is not executed, and says what type its parameters have
    return _COUNTED.subn(
        lambda part: f"counted as (select {', '.join(_PARAMETER.findall(part[0])) or 1}),\n", sql
    )


class Uncounted:
    """A connection whose statements do not count."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.shortened = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def _without(self, sql: str) -> str:
        short, times = uncounted(sql)
        self.shortened += times
        return short

    async def fetch(self, sql: str, *args: Any) -> Any:
        return await self._connection.fetch(self._without(sql), *args)

    async def fetchrow(self, sql: str, *args: Any) -> Any:
        return await self._connection.fetchrow(self._without(sql), *args)

    async def fetchval(self, sql: str, *args: Any) -> Any:
        return await self._connection.fetchval(self._without(sql), *args)

    async def execute(self, sql: str, *args: Any) -> Any:
        return await self._connection.execute(self._without(sql), *args)


async def measure(directory: Path, rounds: int) -> Table:
    made = Table(
        "What counting use costs",
        ("verb, on one connection", "ms, counted", "ms, not counted", "times"),
        note="Milliseconds of CPU of the session in PostgreSQL, medians; `times` is the median of pairs.",
    )
    async with installation(directory, durable=False) as place:
        database = await Database.connect(place.postgres.url())
        try:
            async with place.connection() as one, place.connection() as other:
                counted, plain, uncounted = Scene(database), Scene(database), Uncounted(other)
                await counted.prepare(one)
                await plain.prepare(uncounted)
                for number_of_round in range(WARM + rounds):
                    scenes = [counted, plain] if number_of_round % 2 else [plain, counted]
                    for scene in scenes:
                        if number_of_round == WARM:
                            await scene.begin()
                        await scene.round(generic=False, look=False)
                assert uncounted.shortened > rounds, "the statements have another form now"
                for key, call in counted.calls.items():
                    if key[0].startswith(_COUNTS):
                        without = plain.calls[key].times
                        pairs = [a / b for a, b in zip(call.times, without, strict=True) if b > 0]
                        made.add(
                            key[0],
                            f"{median(call.times):.2f}",
                            f"{median(without):.2f}",
                            f"{median(pairs):.3f}",
                        )
                for apps in (1, 100):
                    made.add(*await _added_up(counted, one, apps, rounds))
        finally:
            await database.close()
    return made


async def _added_up(scene: Scene, connection: Connection, apps: int, rounds: int) -> tuple[str, ...]:
    """Entries of so many applications are added up, in one transaction."""
    missing = apps - await connection.fetchval("select count(*) from application")
    for _ in range(missing):
        await scene.application()
    await connection.execute("delete from usage_entry")
    times = []
    for _ in range(WARM + max(1, rounds // 4)):
        await connection.execute(_ENTER, month_of(scene.at), ENTRIES, apps)
        times.append(await scene.cpu(lambda watched: usage.fold(watched, 10 * ENTRIES)))
    cost = f"{median(times[WARM:]):.2f}"
    of = "one application" if apps == 1 else f"{apps} applications"
    return f"add up {number(ENTRIES)} entries of {of}", cost, "", ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="angarium-bench-") as directory:
        made = asyncio.run(measure(Path(directory), options.rounds))
    made.show(Console(width=200))
    print(made.markdown())


if __name__ == "__main__":
    main()
