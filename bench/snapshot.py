"""Measure 9: the cost of reading a lane while a transaction stays open and a million deliveries complete.

    python -m bench.snapshot --deliveries 1000000

A dump, or a forgotten session, keeps dead entries of the queue, because VACUUM must leave what its snapshot
sees. Deliveries are inserted and deleted in SQL, half in a free lane and half in a first-in-first-out lane. A
row shows the CPU time of PostgreSQL and the pages of the queue that a scan reads, with the same number of
deliveries waiting before and under the snapshot.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.console import Console

from angarium.clock import datetime_at
from angarium.core.nouns import Endpoint
from angarium.core.read_position import SLACK, START
from angarium.store import load
from angarium.store.connection import Connection
from angarium.store.database import Database
from angarium.store.load import Wanted
from bench.hot import MANY, Scene
from bench.service import installation
from bench.table import Table, number, ratio
from tests.kit.explained import Explained

DELIVERIES: Final = 1_000_000
SLICE: Final = 10_000  # deliveries that are made and taken away at a time
TIMES: Final = 9
_MAKE: Final = """
insert into pending (shard, endpoint_id, message_id, app_id, due_at, seq)
select $1, $2, new_id($4::timestamptz + n * interval '0.1 ms'), $3, $4,
       case when $5 then nextval('acceptance') end
from generate_series(1, $6) n
"""
_FIRST: Final = "select min(seq) from pending where endpoint_id = $1"
_TAKE: Final = "delete from pending where shard = $1 and endpoint_id = $2"


@dataclass(frozen=True, slots=True)
class Read:
    """What one read costs."""

    milliseconds: float  # of CPU
    pages: int


class Snapshot:
    """A scene, and what is read of it."""

    def __init__(self, scene: Scene, connection: Connection) -> None:
        self._scene = scene
        self._connection = connection

    async def reads(self) -> dict[str, Read]:
        """Each read with `MANY` deliveries waiting in either lane. A lane at work reads on from behind what
        is done; one that has just been opened, or is first-in-first-out at a look at all lanes, reads from
        the beginning."""
        free, fifo = self._scene.free, self._scene.fifo
        await self._scene.wait(MANY)
        (seen,) = [one for one in await self._lanes() if one.endpoint_id == free.id]
        assert seen.first is not None
        on = seen.first.int - 1
        (place,) = await self._connection.fetchrow(_FIRST, fifo.id)
        # some places are read once more, and under the snapshot all of them are of this lane
        again = max(place - 1 - SLACK, START)
        found = {
            "a free lane at work": await self._read(lambda c: self._load(c, free, on)),
            "a free lane, from the beginning": await self._read(lambda c: self._load(c, free, START)),
            "a first-in-first-out lane at work": await self._read(lambda c: self._load(c, fifo, again)),
            "the same, from the beginning": await self._read(lambda c: self._load(c, fifo, START)),
            "which lanes have work": await self._read(lambda c: load.lanes_of(c, [free.shard, fifo.shard])),
        }
        for lane in (free, fifo):
            await self._connection.execute(_TAKE, lane.shard, lane.id)
        return found

    async def complete(self, deliveries: int) -> None:
        """So many deliveries come and go."""
        for _ in range(deliveries // (2 * SLICE)):
            await self._scene.later()
            at = datetime_at(self._scene.now)
            for lane in (self._scene.free, self._scene.fifo):
                await self._connection.execute(_MAKE, lane.shard, lane.id, lane.app_id, at, lane.fifo, SLICE)
                await self._connection.execute(_TAKE, lane.shard, lane.id)

    async def _lanes(self) -> list[load.LaneRef]:
        return await load.lanes_of(self._connection, [self._scene.free.shard, self._scene.fifo.shard])

    async def _load(self, connection: Connection, lane: Endpoint, after: int) -> None:
        wanted = Wanted(lane.id, lane.shard, lane.fifo, room=MANY, after=after)
        rows, _ = await load.load(connection, [wanted], datetime_at(self._scene.now))
        if len(rows) != MANY:
            raise RuntimeError(f"{len(rows)} deliveries came in place of {MANY}")

    async def _read(self, verb: Callable[[Any], Awaitable[Any]]) -> Read:
        explained = Explained(self._connection)
        await verb(explained)
        return Read(median([await self._scene.cpu(verb) for _ in range(TIMES)]), explained.pages)


async def measure(directory: Path, deliveries: int) -> Table:
    made = Table(
        f"Reading lanes under a snapshot that stays open while {deliveries:,} deliveries are completed",
        ("what is read", "ms, usual", "ms, under it", "times", "pages, usual", "pages, under it"),
        note=f"Milliseconds of CPU of the session in PostgreSQL, with {MANY} deliveries waiting in a lane;"
        " pages of the queue's tables and indexes.",
    )
    async with installation(directory, durable=False) as place:
        database = await Database.connect(place.postgres.url())
        try:
            async with place.connection() as connection, place.connection() as dump:
                scene = Scene(database)
                await scene.prepare(connection)
                snapshot = Snapshot(scene, connection)
                usual = await snapshot.reads()
                await connection.execute("vacuum analyze pending")
                await dump.execute("begin isolation level repeatable read")
                await dump.fetchval("select count(*) from pending")
                await snapshot.complete(deliveries)
                await connection.execute("vacuum analyze pending")
                under = await snapshot.reads()
                await dump.execute("rollback")
        finally:
            await database.close()
    for name, before in usual.items():
        after = under[name]
        made.add(
            name, f"{before.milliseconds:.2f}", f"{after.milliseconds:.2f}",
            ratio(after.milliseconds, before.milliseconds), number(before.pages), number(after.pages),
        )  # fmt: skip
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deliveries", type=int, default=DELIVERIES)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="angarium-bench-") as directory:
        made = asyncio.run(measure(Path(directory), options.deliveries))
    made.show(Console(width=160))
    print(made.markdown())


if __name__ == "__main__":
    main()
