"""Which faults of its own a process notices: real connections, and a clock that is moved."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg
import pytest

from angarium import build
from angarium import vitals as module
from angarium.clock import steady
from angarium.core.probe import BROKEN_LIMIT, STUCK_LIMIT, Link, Probe, StartStep, answer
from angarium.server.process import _drain
from angarium.settings import Settings
from angarium.shutdown import Shutdown
from angarium.store.database import Database
from angarium.store.embedded import EmbeddedPostgres
from angarium.store.migrate import head
from angarium.vitals import Vitals
from tests.cli.test_serve import KEY, SECRET
from tests.kit.away import away
from tests.kit.patience import until


class Later:
    """The steady time, and what a test adds to it."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return steady() + self.seconds


@pytest.fixture
def later() -> Later:
    return Later()


@pytest.fixture
def vitals(later: Later, monkeypatch: pytest.MonkeyPatch) -> Vitals:
    monkeypatch.setattr(module, "PATIENCE", 0.5)
    vitals = Vitals(later)
    vitals.serving = True
    return vitals


def failing(vitals: Vitals, probe: Probe) -> list[str]:
    return [check.name for check in answer(probe, vitals.facts()).checks if not check.ok]


@asynccontextmanager
async def exhausted(database: Database, size: int = 10) -> AsyncIterator[None]:
    """Every connection of the pool is taken, and none comes back."""
    async with AsyncExitStack() as stack:
        for _ in range(size):
            await stack.enter_async_context(database.connection())
        yield


def watch(vitals: Vitals, database: Database) -> None:
    vitals.watch(Link.POOL, lambda: database.answered_at, ask=database.time, fresh=database.fresh_time)


async def test_a_pool_that_is_stuck_while_fresh_connections_work_is_not_ready_and_later_not_alive(
    vitals: Vitals, later: Later, database: Database
) -> None:
    watch(vitals, database)
    async with exhausted(database):
        later.seconds = module.ROUND
        await vitals.look()
        assert Link.POOL in vitals.facts().stuck
        assert failing(vitals, Probe.READINESS) == []
        later.seconds += BROKEN_LIMIT
        assert failing(vitals, Probe.READINESS) == ["pool"]
        later.seconds += STUCK_LIMIT - BROKEN_LIMIT
        assert failing(vitals, Probe.LIVENESS) == ["event-loop", "pool"]  # the clock was moved
        await vitals.look()
        assert "pool" in failing(vitals, Probe.LIVENESS), "a look does not forget since when"
    await vitals.look()
    assert failing(vitals, Probe.READINESS) == []


async def test_a_pool_is_not_stuck_while_the_database_accepts_no_connections(
    vitals: Vitals, later: Later, database: Database, postgres: EmbeddedPostgres
) -> None:
    watch(vitals, database)
    later.seconds = module.ROUND
    async with away(postgres, database.url):
        await vitals.look()
        assert vitals.facts().stuck == {}
        later.seconds += 1000
        await vitals.look()
        assert vitals.facts().stuck == {}


async def test_an_outage_ends_the_time_for_which_a_pool_was_stuck(
    vitals: Vitals, later: Later, database: Database, postgres: EmbeddedPostgres
) -> None:
    watch(vitals, database)
    async with exhausted(database):
        later.seconds = module.ROUND
        await vitals.look()
        assert Link.POOL in vitals.facts().stuck
        async with away(postgres, database.url):
            await vitals.look()
        assert vitals.facts().stuck == {}


async def test_a_pool_that_is_used_is_not_asked(vitals: Vitals, later: Later, database: Database) -> None:
    asked: list[str] = []

    async def ask() -> None:
        asked.append("pool")

    async def fresh() -> None:
        asked.append("fresh")

    vitals.watch(Link.POOL, lambda: database.answered_at, ask=ask, fresh=fresh)
    later.seconds = module.ROUND - 1
    await database.time()
    await vitals.look()
    assert asked == []
    later.seconds = module.ROUND
    await vitals.look()
    assert asked == ["pool"]


async def test_a_statement_that_is_refused_shows_that_the_connection_works(database: Database) -> None:
    before = database.answered_at
    with pytest.raises(Exception, match="does not exist"):
        async with database.connection() as connection:
            await connection.execute("select * from nothing")
    assert database.answered_at > before


@asynccontextmanager
async def running(database_url: str, vitals: Vitals) -> AsyncIterator[None]:
    settings = Settings.model_validate(
        {"database_url": database_url, "jwt_secret": SECRET, "secret_key": KEY}
    )
    async with build.running(settings, database_url, role="all", vitals=vitals):
        yield


async def test_a_whole_process_lives_and_stays_ready_while_the_database_is_away(
    vitals: Vitals, later: Later, database_url: str, postgres: EmbeddedPostgres
) -> None:
    async with running(database_url, vitals), vitals.noted():
        assert set(vitals.facts().links) == set(Link)
        assert StartStep.CONNECTION in vitals.facts().done
        async with away(postgres, database_url):
            later.seconds = STUCK_LIMIT
            await vitals.look()
            later.seconds += STUCK_LIMIT
            await vitals.look()
            await vitals.look_at_schema()
            assert vitals.facts().stuck == {}
            assert failing(vitals, Probe.READINESS) == []
            assert set(failing(vitals, Probe.LIVENESS)) <= {"event-loop"}  # the clock was moved
        later.seconds = 0.0
        await until(lambda: failing(vitals, Probe.LIVENESS) == [], "it lives on")


async def test_a_part_that_ends_and_locks_that_nobody_renews_end_the_life_of_a_process(
    vitals: Vitals, later: Later, database_url: str
) -> None:
    async with running(database_url, vitals):
        assert failing(vitals, Probe.LIVENESS) == []
        (ownership,) = [task for task in asyncio.all_tasks() if task.get_name() == "Ownership"]
        ownership.cancel()
        await asyncio.wait([ownership])
        assert vitals.facts().ended == ("Ownership",)
        later.seconds = module.ROUND
        await vitals.look()
        later.seconds += STUCK_LIMIT
        assert failing(vitals, Probe.LIVENESS) == ["event-loop", "parts", "locks"]


async def test_what_ends_while_a_process_drains_is_no_fault(
    vitals: Vitals, later: Later, database: Database
) -> None:
    watch(vitals, database)
    vitals.watch_parts(lambda: ["clock"])
    assert failing(vitals, Probe.LIVENESS) == ["parts"]
    shutdown = Shutdown()
    shutdown.begin()
    await _drain(shutdown, vitals)
    async with exhausted(database):
        await vitals.look()
        later.seconds = STUCK_LIMIT
        await vitals.look()
        assert not {"parts", "pool"} & set(failing(vitals, Probe.LIVENESS))
    assert failing(vitals, Probe.READINESS) == ["draining"]


async def test_a_schema_that_no_longer_fits_makes_a_process_not_ready(
    vitals: Vitals, database_url: str
) -> None:
    async with running(database_url, vitals):
        await vitals.look_at_schema()
        assert failing(vitals, Probe.READINESS) == []
        owner = await asyncpg.connect(database_url)
        renamed = "update angarium.migration set number = $1 where number = $2"
        await owner.execute(renamed, "0000", head())
        await vitals.look_at_schema()
        assert failing(vitals, Probe.READINESS) == ["schema"]
        assert failing(vitals, Probe.LIVENESS) == []
        await owner.execute(renamed, head(), "0000")
        newer = "insert into angarium.migration select '9999', applied_at from angarium.migration limit 1"
        await owner.execute(newer)
        await vitals.look_at_schema()
        await owner.close()
        assert failing(vitals, Probe.READINESS) == [], "a newer one fits"
