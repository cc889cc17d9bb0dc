"""Measure 8: the cost of the hot statements in an empty database, and beside a history in 98 partitions.

    python -m bench.hot --attempts 1000000 [--data DIRECTORY]

Each function is called over one connection that keeps prepared statements, as a server does: first with the
plans that PostgreSQL chooses, then with generic plans only. A row shows the CPU time of PostgreSQL for the
median call, the planning time of its statements, and the number of locks on tables and indexes that it holds
at the end. A session has space for some locks of its own. All others are in a table that the sessions share,
which can become full.

Both databases are measured in turn, so that drift of the machine cancels out. With `--data` the database is
kept and used again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.console import Console

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.failure import kind_of
from angarium.core.lifecycle import Move
from angarium.core.nouns import Endpoint
from angarium.core.outcome import AttemptResult
from angarium.store import accept, background_task, complete, load
from angarium.store.accept import Item
from angarium.store.complete import Completion
from angarium.store.connection import Connection
from angarium.store.database import Database
from angarium.store.load import Loaded, Wanted
from bench import history
from bench.service import installation
from bench.table import Table, number, ratio
from tests.kit.clock import ManualClock
from tests.kit.crowd import NOW
from tests.kit.world import ORG, World

ATTEMPTS: Final = 10_000_000
ROUNDS: Final = 30
WARM: Final = 6  # rounds that are not counted: after five calls PostgreSQL may choose a generic plan
COMPLETE: Final = 0.002  # seconds after which a session that has answered sleeps, and its time is counted
MANY: Final = 100  # deliveries of a batch
SMALL: Final = "application, endpoint, pending, retry, event_id, idempotency, fan_out"
DAY: Final = 86400.0
AGES: Final = 3  # days back to which what is retried was accepted
_BODY: Final = b"x" * 1000
_HEADERS: Final = (("content-type", "application/json"), ("webhook-id", "msg_1"), ("user-agent", "Angarium"))
_OK: Final = AttemptResult(200, None, None, b"ok", 12, headers=_HEADERS)
_REFUSED: Final = AttemptResult(
    500, kind_of("http_500"), "The receiver answered 500.", b"no", 12, headers=_HEADERS
)
_LOCKS: Final = """
select count(*) as held, count(*) filter (where not l.fastpath) as shared
from pg_locks l join pg_class c on c.oid = l.relation
where l.pid = pg_backend_pid() and c.relnamespace::regnamespace::text like 'angarium%'
"""
_MEMORY: Final = "select sum(total_bytes)::bigint from pg_backend_memory_contexts"


@dataclass
class Call:
    """One verb: its calls so far."""

    times: list[float] = field(default_factory=list)  # milliseconds of CPU
    planning: float = 0.0  # milliseconds, of all its statements for given values
    locks: int = 0  # the most that it held
    shared: int = 0  # of these, in the table that all sessions share


class Watched:
    """A connection that sees what CPU time each statement takes, and makes plans once more to see how long
    that takes."""

    def __init__(self, connection: Connection, pid: int) -> None:
        """`pid`: the session's process, on this machine."""
        self.connection = connection
        self.section = connection.section
        self.milliseconds = 0.0
        self._schedule = Path(f"/proc/{pid}/schedstat")
        self.planning: float | None = None  # counted while it is a number

    def is_in_transaction(self) -> bool:
        return bool(self.connection.is_in_transaction())

    def transaction(self) -> Any:
        return self.connection.transaction()

    async def _run(self, way: Callable[..., Awaitable[Any]], sql: str, args: tuple[Any, ...]) -> Any:
        begun = self._cpu()
        found = await way(sql, *args)
        await asyncio.sleep(COMPLETE)
        self.milliseconds += (self._cpu() - begun) / 1e6
        if self.planning is not None:
            text = await self.connection.fetchval(f"explain (summary, format json) {sql}", *args)
            self.planning += json.loads(text)[0]["Planning Time"]
        return found

    def _cpu(self) -> int:
        """Nanoseconds that the session has run."""
        return int(self._schedule.read_text().split()[0])

    async def fetch(self, sql: str, *args: Any) -> Any:
        return await self._run(self.connection.fetch, sql, args)

    async def fetchrow(self, sql: str, *args: Any) -> Any:
        return await self._run(self.connection.fetchrow, sql, args)

    async def fetchval(self, sql: str, *args: Any) -> Any:
        return await self._run(self.connection.fetchval, sql, args)

    async def execute(self, sql: str, *args: Any) -> Any:
        return await self._run(self.connection.execute, sql, args)


class Scene:
    """A new application with a free and a first-in-first-out endpoint, and what happens to its messages."""

    def __init__(self, database: Database) -> None:
        self.calls: dict[tuple[str, bool], Call] = {}  # by the verb, and whether its plans were generic
        self._clock = ManualClock(NOW + 60)
        self._world = World(database, clock=self._clock)

    async def prepare(self, connection: Connection) -> None:
        self._app = await self._world.application()
        self.free = await self._world.endpoint(self._app, "http://127.0.0.1:9/free", event_types=("free",))
        self.fifo = await self._world.endpoint(
            self._app, "http://127.0.0.1:9/fifo", event_types=("fifo",), fifo=True
        )
        self._watched = Watched(connection, await connection.fetchval("select pg_backend_pid()"))

    async def begin(self) -> None:
        """Count from now on. The small tables get the statistics that autovacuum would have made."""
        await self._watched.connection.execute(f"analyze {SMALL}")
        self.calls.clear()

    async def round(self, *, generic: bool, look: bool) -> None:
        """Call every function once. `look`: measure planning times, too, which disturbs the times of calls.
        Each plan is then made again, so locks of planning are counted even if a statement was planned
        before."""
        self._generic, self._look = generic, look
        mode = "force_generic_plan" if generic else "auto"
        await self._watched.connection.execute(f"set plan_cache_mode = {mode}")
        await self._clock.advance_to(self._clock.now() + 1)
        await self._call("accept 1", lambda c: self._accept(c, "free", 1))
        await self._call(f"accept {MANY}", lambda c: self._accept(c, "free", MANY - 1))
        await self._call("lanes of a shard", lambda c: load.lanes_of(c, [self.free.shard]))
        await self._call("configuration of a lane", lambda c: load.configs(c, [(self._app.id, self.free.id)]))
        loaded = await self._call(f"load {MANY} pending", lambda c: self._load(c, self.free))
        await self._call("complete 1, delivered", lambda c: self._complete(c, loaded[:1], Move.DELIVER))
        await self._call("complete 49, delivered", lambda c: self._complete(c, loaded[1:50], Move.DELIVER))
        await self._call("complete 50, to be retried", lambda c: self._complete(c, loaded[50:], Move.RETRY))
        retried = await self._call("load 50 retries", lambda c: self._load(c, self.free))
        await self._call("complete 50 retries, delivered", lambda c: self._complete(c, retried, Move.DELIVER))
        await self._accept(self._watched, "fifo", MANY)
        loaded = await self._call(f"load {MANY} first-in-first-out", lambda c: self._load(c, self.fifo))
        await self._complete(self._watched, loaded, Move.DELIVER)
        await self._call("claim a background task", lambda c: background_task.claim(c, self.at))

    @property
    def now(self) -> float:
        """The scene's time."""
        return self._clock.now()

    async def later(self) -> None:
        """A second passes."""
        await self._clock.advance_to(self._clock.now() + 1)

    async def wait(self, count: int) -> None:
        """So many deliveries come for either lane."""
        await self.later()
        for event_type in ("free", "fifo"):
            await self._accept(self._watched, event_type, count, ages=1)

    async def cpu(self, verb: Callable[[Any], Awaitable[Any]]) -> float:
        """Milliseconds of CPU that a verb takes."""
        self._watched.milliseconds, self._watched.planning = 0.0, None
        await verb(self._watched)
        return self._watched.milliseconds

    async def memory(self) -> int:
        """Bytes of the session."""
        return int(await self._watched.connection.fetchval(_MEMORY))

    async def application(self) -> None:
        """One more application, which does nothing."""
        await self._world.application()

    @property
    def at(self) -> Any:
        """The scene's time, as PostgreSQL gets it."""
        return datetime_at(self._clock.now())

    async def _call(self, name: str, verb: Callable[[Any], Awaitable[Any]]) -> Any:
        """In a transaction, whose commit is not counted, so that the locks are still there."""
        call = self.calls.setdefault((name, self._generic), Call())
        watched = self._watched
        async with watched.transaction():
            watched.milliseconds, watched.planning = 0.0, 0.0 if self._look else None
            if self._look:
                await watched.connection.execute("discard plans")
            found = await verb(watched)
            queued = await watched.connection.fetchrow(_LOCKS)
        call.locks, call.shared = max(call.locks, queued["held"]), max(call.shared, queued["shared"])
        if watched.planning is None:
            call.times.append(watched.milliseconds)
        else:
            call.planning = watched.planning
        return found

    async def _accept(self, connection: Connection, event_type: str, count: int, ages: int = AGES) -> None:
        now = self._clock.now()
        await accept.accept(connection, [self._item(event_type, n, n % ages) for n in range(count)], now)

    def _item(self, event_type: str, n: int, age: int) -> Item:
        now = self._clock.now()
        made = ids.new(now - age * DAY + n / 1000, os.urandom(8))
        return Item(
            id=made, org_id=ORG, app=ids.text(ids.APPLICATION, self._app.id), event_type=event_type,
            payload=_BODY, event_id=None, channels=(), tags=(), key=made.bytes, endpoint_id=None, due_at=now,
            expires_at=datetime_at(now + DAY * (age + 1)),
        )  # fmt: skip

    async def _load(self, connection: Connection, endpoint: Endpoint) -> list[Loaded]:
        wanted = Wanted(endpoint.id, endpoint.shard, endpoint.fifo, room=MANY)
        rows, _ = await load.load(connection, [wanted], self.at)
        return rows

    async def _complete(self, connection: Connection, loaded: Sequence[Loaded], move: Move) -> None:
        now = self._clock.now()
        completed = await complete.complete(
            connection,
            [
                Completion(
                    attempt_id=ids.new(now, os.urandom(8)), app_id=self._app.id, endpoint_id=one.endpoint_id,
                    message_id=one.message_id, move=move, failures=one.failures, number=one.attempts + 1,
                    due_at=now if move is Move.RETRY else None, manual_at=None,
                    answer=_REFUSED if move is Move.RETRY else _OK, succeeded=move is Move.DELIVER,
                    revision=1, sent=_HEADERS, pending=one.pending,
                )
                for one in loaded
            ],
            [],
        )  # fmt: skip
        if len(completed) != len(loaded):
            raise RuntimeError(f"{len(completed)} of {len(loaded)} deliveries were completed")


@asynccontextmanager
async def _scene(directory: Path) -> AsyncIterator[Scene]:
    async with installation(directory, durable=False) as place:
        database = await Database.connect(place.postgres.url())
        try:
            async with place.connection() as connection:
                scene = Scene(database)
                await scene.prepare(connection)
                yield scene
        finally:
            await database.close()


async def measure(past: Path, empty: Path, rounds: int = ROUNDS) -> Table:
    """A row for each verb. `past`: an installation with one (bench/history.py); `empty`: one without."""
    async with AsyncExitStack() as stack:
        scenes = [await stack.enter_async_context(_scene(one)) for one in (empty, past)]
        for number_of_round in range(WARM + rounds + 1):
            for scene in scenes:
                if number_of_round == WARM:
                    await scene.begin()
                for generic in (False, True):
                    await scene.round(generic=generic, look=number_of_round == WARM + rounds)
        return _table(scenes, [await scene.memory() for scene in scenes])


def _table(scenes: Sequence[Scene], memory: Sequence[int]) -> Table:
    made = Table(
        "What hot statements cost beside a long past",
        (
            "verb, on one connection", "ms, empty", "ms, past", "times", "generic, empty", "generic, past",
            "times", "planning, empty", "planning, past", "locks, empty", "locks, past", "of these shared",
        ),
        note="Milliseconds of CPU of the session in PostgreSQL, medians. `generic`: with generic plans only."
        " Locks are those on tables and indexes, the most of a call; `shared` ones are not in the session's"
        " own room."
        f" Memory of the session: {memory[0] / 1e6:.1f} MB, with the past {memory[1] / 1e6:.1f} MB.",
    )  # fmt: skip
    for name in dict.fromkeys(name for name, _ in scenes[1].calls):
        cells = []
        for generic in (False, True):
            before, after = (median(scene.calls[name, generic].times) for scene in scenes)
            cells += [f"{before:.2f}", f"{after:.2f}", ratio(after, before)]
        plain = [scene.calls[name, False] for scene in scenes]
        most = [
            max((scene.calls[name, generic] for generic in (False, True)), key=lambda call: call.locks)
            for scene in scenes
        ]
        made.add(
            name, *cells, *(f"{call.planning:.2f}" for call in plain), *(number(call.locks) for call in most),
            number(most[1].shared),
        )  # fmt: skip
    return made


async def _alone(data: Path, attempts: int, rounds: int) -> Table:
    async with installation(data, durable=False) as place, place.connection() as connection:
        await history.there_or_made(connection, attempts)
    with tempfile.TemporaryDirectory(prefix="angarium-bench-") as empty:
        return await measure(data, Path(empty), rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attempts", type=int, default=ATTEMPTS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--data", type=Path, help="where to keep the database")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="angarium-bench-") as directory:
        made = asyncio.run(_alone(options.data or Path(directory), options.attempts, options.rounds))
    made.show(Console(width=200))
    print(made.markdown())


if __name__ == "__main__":
    main()
