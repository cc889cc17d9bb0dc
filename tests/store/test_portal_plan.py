"""What the portal and the operator's pages ask of a large database: each statement goes along an index, and
looks at a bounded number of rows whatever is filtered for."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, cast
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.hourly_stats import Span
from angarium.core.log_filter import LogFilter, LogStatus
from angarium.core.nouns import AttemptStatus
from angarium.core.product import STANDARD
from angarium.service import attempt as attempt_service
from angarium.service import log as log_service
from angarium.service import replay as replay_service
from angarium.service.attempt import Attempts
from angarium.service.log import Log
from angarium.service.operator import EndpointStatus, Operator
from angarium.service.overview import Overview
from angarium.service.product import Products
from angarium.service.replay import BackgroundTasks, Replay
from angarium.store import background_task, delivery, message, requeue
from angarium.store.connection import Connection, Connector
from angarium.store.database import Database
from angarium.store.embedded import EmbeddedPostgres
from angarium.store.message import Filter, IdRange
from angarium.store.retention import QUEUE, RULES, Retention
from angarium.store.stretch import HIGHEST, LOWEST
from tests.conftest import TEMPLATE
from tests.kit import crowd
from tests.kit.clock import ManualClock
from tests.kit.crowd import NOW, ORG, Crowd, endpoint_id
from tests.kit.explained import Explaining
from tests.kit.world import product

MESSAGES: Final = 30_000  # of the large application, each to three endpoints
DAYS: Final = 90  # over which they came: with those made ahead, 98 partitions of each table
TABLES: Final = re.compile(
    "(?:message|payload|attempt)_[0-9]{8}|pending|retry|event_id|attempt_hour|background_task|audit"
)
LARGE: Final = "select relname from pg_class where relkind = 'r' and reltuples >= 2000"  # rows
STRETCHES: Final = (100, 900)  # in place of the real ones, so that a bound shows in a database of this size
BOUND: Final = 5 * sum(STRETCHES)  # the walk, its end, and a lookup or two for each
NAME: Final = "crowded"

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture(scope="module")
def crowded(postgres: EmbeddedPostgres) -> Iterator[tuple[str, Crowd, frozenset[str]]]:
    """A database with a crowd in it, which the tests here only look at."""

    async def made() -> tuple[Crowd, frozenset[str]]:
        await _as_owner(postgres, f"create database {NAME} template {TEMPLATE} strategy file_copy")
        connection = await Connector(postgres.url(NAME), statement_timeout=None)()
        try:
            filled = await crowd.fill(connection, messages=MESSAGES, applications=100, each=20, days=DAYS)
            return filled, frozenset(row["relname"] for row in await connection.fetch(LARGE))
        finally:
            await connection.close()

    yield postgres.url(NAME), *asyncio.run(made())
    asyncio.run(_as_owner(postgres, f"drop database {NAME} with (force)"))


async def _as_owner(postgres: EmbeddedPostgres, statement: str) -> None:
    owner = await asyncpg.connect(postgres.url("postgres"))
    try:
        await owner.execute(statement)
    finally:
        await owner.close()


@dataclass
class Watched:
    """A database whose statements are explained before they are run."""

    database: Database
    large: frozenset[str]  # tables and partitions; any plan will do for those with little in them
    rows: int = 0  # of tables that grow, looked at since `rows` was reset
    faults: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        async with self.database.connection() as connection:
            yield _Explained(connection, self)

    transaction = connection

    async def read(self, look: Callable[[Any], Awaitable[Any]]) -> Any:
        async with self.connection() as connection:
            return await look(connection)

    def see(self, sql: str, plan: dict[str, Any]) -> int:
        """How many rows a plan looked at."""
        rows = 0
        table = plan.get("Relation Name")
        if table and TABLES.fullmatch(table):
            loops = plan.get("Actual Loops", 0)
            removed = plan.get("Rows Removed by Filter", 0) + plan.get("Rows Removed by Index Recheck", 0)
            rows = int((plan.get("Actual Rows", 0) + removed) * loops)
            if plan["Node Type"] == "Seq Scan" and table in self.large:
                self.faults.append(f"Seq Scan on {table}:\n{sql}")
        return rows + sum(self.see(sql, below) for below in plan.get("Plans", ()))


class _Explained(Explaining):
    """Reads only: what a statement changes is undone."""

    def __init__(self, connection: Connection, watched: Watched) -> None:
        super().__init__(connection)
        self._watched = watched

    async def explain(self, sql: str, args: tuple[Any, ...]) -> None:
        self._watched.rows += max([self._watched.see(sql, plan) for plan in await self.plans(sql, args)])

    async def execute(self, sql: str, *args: Any) -> Any:
        await self.explain(sql, args)
        return "UPDATE 0"


@dataclass
class Place:
    """The crowd and all that looks at it, watched."""

    watched: Watched
    crowd: Crowd
    clock: ManualClock

    def __post_init__(self) -> None:
        database = cast(Database, self.watched)
        products = Products(self.watched.database, self.clock, {STANDARD: product()})
        self.log = Log(database, self.clock, products)
        self.attempts = Attempts(database, self.clock)
        self.overview = Overview(database, self.clock)
        self.replay = Replay(database, self.clock, os.urandom)
        self.operator = Operator(database, self.clock, self.replay)
        self.tasks = BackgroundTasks(database, self.clock, os.urandom)
        self.app_id = self.crowd.app_id


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared(crowded: tuple[str, Crowd, frozenset[str]]) -> AsyncIterator[Database]:
    """One for all tests: a new connection reads the catalog of all partitions again."""
    database = await Database.connect(crowded[0])
    yield database
    await database.close()


@pytest.fixture
def place(
    shared: Database, crowded: tuple[str, Crowd, frozenset[str]], monkeypatch: pytest.MonkeyPatch
) -> Place:
    monkeypatch.setattr(log_service, "STRETCHES", STRETCHES)
    monkeypatch.setattr(replay_service, "LOOKED_AT", sum(STRETCHES))
    monkeypatch.setattr(replay_service, "PATIENCE", 0.0)
    monkeypatch.setattr(requeue, "RESEND_READ", sum(STRETCHES))
    monkeypatch.setattr(attempt_service, "LOOKED", sum(STRETCHES))
    return Place(Watched(shared, crowded[2]), crowded[1], ManualClock(NOW + 1))


def _status(*statuses: LogStatus) -> frozenset[LogStatus]:
    return frozenset(statuses)


S = LogStatus
HERE: Final = endpoint_id(0)
FILTERS: Final = {
    "none": LogFilter(),
    "endpoint": LogFilter(endpoint_id=HERE),
    "delivered": LogFilter(statuses=_status(S.DELIVERED)),
    "waiting, none": LogFilter(statuses=_status(S.WAITING)),
    "failed": LogFilter(statuses=_status(S.FAILED)),
    "canceled, none": LogFilter(statuses=_status(S.CANCELED)),
    "type": LogFilter(event_type="order.type3"),
    "type, rare": LogFilter(event_type="rare.*"),
    "type, none": LogFilter(event_type="nothing"),
    "tag, none": LogFilter(tag="nothing"),
    "channel, none": LogFilter(channel="nothing"),
    "endpoint, type, none": LogFilter(endpoint_id=HERE, event_type="nothing"),
    "endpoint, waiting, none": LogFilter(endpoint_id=HERE, statuses=_status(S.WAITING)),
    "endpoint, failed": LogFilter(endpoint_id=HERE, statuses=_status(S.FAILED)),
    "endpoint, failed, tag, none": LogFilter(
        endpoint_id=endpoint_id(2), statuses=_status(S.FAILED), tag="nothing"
    ),
    "failed, tag, none": LogFilter(statuses=_status(S.FAILED), tag="nothing"),
    "2xx": LogFilter(http_class=2),
    "4xx, none": LogFilter(http_class=4),
    "error, rare": LogFilter(error_kind="tls"),
    "error, none": LogFilter(error_kind="dns"),
    "event id": LogFilter(message="event-17"),
    "times": LogFilter(since=datetime_at(NOW - 500_000), until=datetime_at(NOW - 400_000)),
    "tag, times": LogFilter(tag="nothing", until=datetime_at(NOW - 400_000)),
}


@pytest.mark.parametrize("name", FILTERS)
async def test_a_page_of_the_log_reads_a_bounded_number_of_rows(place: Place, name: str) -> None:
    wanted = FILTERS[name]
    page = await place.log.page(place.app_id, wanted)
    assert 0 < place.watched.rows <= BOUND
    for cursor, backwards in ((page.older, False), (page.older, True)):
        if cursor is not None:
            place.watched.rows = 0
            await place.log.page(place.app_id, wanted, cursor, backwards=backwards)
            assert place.watched.rows <= BOUND
    assert not place.watched.faults


@pytest.mark.parametrize("name", FILTERS)
async def test_counting_and_resending_go_a_stretch_at_a_time(place: Place, name: str) -> None:
    await place.replay.count_matching(place.app_id, FILTERS[name])
    assert place.watched.rows <= BOUND
    place.watched.rows = 0
    order = requeue.ResendOrder(FILTERS[name], ids.highest(NOW), None)
    async with place.watched.connection() as connection:
        await requeue.resend_matching(connection, place.app_id, order, datetime_at(NOW), 100)
    assert place.watched.rows <= BOUND
    assert not place.watched.faults


def _message(place: Place) -> str:
    return ids.text(ids.MESSAGE, place.crowd.message_id)


ENDPOINT: Final = ids.text(ids.ENDPOINT, HERE)
RECENT: Final = datetime_at(NOW - 12 * 86400)
NEWEST: Final = IdRange(LOWEST, HIGHEST, 51)


async def _listed(place: Place, verb: Callable[..., Awaitable[Any]], *of: UUID, **more: Any) -> None:
    async with place.watched.connection() as connection:
        assert (
            len(
                await verb(
                    connection,
                    place.app_id,
                    *of,
                    NEWEST,
                    Filter(),
                    datetime_at(NOW),
                    with_payload=True,
                    **more,
                )
            )
            == 51
        )


LOOKS: Final[dict[str, tuple[int, Callable[[Place], Awaitable[Any]]]]] = {
    "a message": (20, lambda p: p.log.message(ORG, p.app_id, _message(p))),
    "a message by event id": (20, lambda p: p.log.message(ORG, p.app_id, "event-99")),
    "messages": (400, lambda p: _listed(p, message.page)),
    "messages of an endpoint": (400, lambda p: _listed(p, delivery.by_endpoint, HERE, statuses=None)),
    "messages of an endpoint, queued": (
        2000,
        lambda p: _listed(p, delivery.by_endpoint, endpoint_id(1), statuses={S.WAITING, S.RETRYING}),
    ),
    "attempts": (400, lambda p: p.attempts.newest(p.app_id, HERE, None, None, 50)),
    "attempts, failed": (
        BOUND,
        lambda p: p.attempts.newest(p.app_id, HERE, ids.highest(NOW), AttemptStatus.FAIL, 50),
    ),
    "reasons, none": (BOUND, lambda p: p.attempts.reasons(p.app_id, HERE, NOW - 86400)),
    "reasons": (BOUND, lambda p: p.attempts.reasons(p.app_id, endpoint_id(2), NOW - 86400)),
    "a chart of a day": (24, lambda p: p.overview.series(p.app_id, Span.DAY)),
    "a chart of four weeks": (672, lambda p: p.overview.series(p.app_id, Span.MONTH, HERE)),
    "health": (3 * 24 + 672 + 10, lambda p: p.overview.health(p.app_id, p.crowd.endpoints)),
    "tasks": (100, lambda p: p.tasks.of_application(p.app_id)),
    "what is missing": (BOUND, lambda p: p.replay.count_missing(p.app_id, ENDPOINT, RECENT, None)),
    "the operator's applications": (20_000, lambda p: p.operator.applications(ORG)),
    "failing endpoints": (0, lambda p: p.operator.endpoints(ORG, EndpointStatus.FAILING)),
    "disabled endpoints": (0, lambda p: p.operator.endpoints(ORG, EndpointStatus.DISABLED)),
    "healthy endpoints": (0, lambda p: p.operator.endpoints(ORG, EndpointStatus.HEALTHY)),
    "undelivered": (20_000, lambda p: p.operator.undelivered(ORG)),
    "the first undelivered": (100, lambda p: p.operator.undelivered(ORG, limit=1)),
    "a message of the organization": (3, lambda p: p.operator.find_message(ORG, _message(p))),
    "an event of the organization": (6, lambda p: p.operator.find_message(ORG, "event-99")),
    "an unknown message": (0, lambda p: p.operator.find_message(ORG, ids.text(ids.MESSAGE, UUID(int=7)))),
}


@pytest.mark.parametrize("name", LOOKS)
async def test_every_other_list_is_bounded_too(place: Place, name: str) -> None:
    bound, look = LOOKS[name]
    await look(place)
    assert place.watched.rows <= bound
    assert not place.watched.faults


async def test_maintenance_goes_along_indexes(place: Place) -> None:
    async with place.watched.connection() as connection:
        await background_task.claim(connection, datetime_at(NOW))
        await background_task.next_due(connection)
        for rule in (*QUEUE, *RULES):
            await rule.end(connection, Retention(), datetime_at(NOW), 100)
    assert place.watched.rows <= 100, "the running tasks and the lanes of the queue, a row or two each"
    assert not place.watched.faults


async def test_a_page_without_a_bound_would_be_noticed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_service, "STRETCHES", (1_000_000,))
    await place.log.page(place.app_id, FILTERS["tag, none"])
    assert place.watched.rows > BOUND


async def test_a_scan_of_a_large_table_would_be_noticed(place: Place) -> None:
    async with place.watched.connection() as connection:
        await connection.fetch("select count(*) from attempt where error_code = 'tls_expired'")
        await connection.fetch("select count(*) from retry where error_code = 'tls_expired'")
    assert place.watched.rows >= MESSAGES
    assert place.watched.faults
