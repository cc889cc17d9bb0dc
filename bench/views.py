"""Measure 6: the time of the portal's pages and the operator's lists in a large database.

    python -m bench.views --attempts 1000000 [--data DIRECTORY]

Each one is read several times over one connection pool, after a warm-up, and the median counts. With `--data`
the database is kept and used again.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg

from angarium.core import ids
from angarium.core.hourly_stats import Span
from angarium.core.log_filter import LogFilter, LogStatus
from angarium.core.product import STANDARD
from angarium.service.log import Log
from angarium.service.operator import EndpointStatus, Operator
from angarium.service.overview import Overview
from angarium.service.product import Products
from angarium.service.replay import Replay
from angarium.store.connection import Connector
from angarium.store.database import Database
from angarium.store.embedded import EmbeddedPostgres
from angarium.store.migrate import migrate
from bench import history
from bench.table import Table
from tests.kit import crowd
from tests.kit.crowd import NOW, ORG
from tests.kit.schemas import find_tables
from tests.kit.world import product

TIMES = 7
WARM = 6  # looks before, after which PostgreSQL has chosen its plans
Look = Callable[[], Awaitable[Any]]


class Crowded:
    """A time just after the last message of the large application, at which load continues."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    def now(self) -> float:
        return NOW + 1 + time.monotonic() - self._begun

    def steady(self) -> float:
        return time.monotonic()

    def apart(self) -> float:
        return 0.0

    async def wait(self, event: asyncio.Event, until: float) -> None:
        raise NotImplementedError


def looks(database: Database) -> dict[str, Look]:
    """What pages ask for, by name."""
    clock, app_id = Crowded(), crowd.application_id(0)
    log = Log(database, clock, Products(database, clock, {STANDARD: product()}))
    overview = Overview(database, clock)
    replay = Replay(database, clock, os.urandom)
    operator = Operator(database, clock, replay)
    here, _, ill = (crowd.endpoint_id(n) for n in range(3))
    failed = frozenset({LogStatus.FAILED})
    filters = {
        "all": LogFilter(),
        "delivered": LogFilter(statuses=frozenset({LogStatus.DELIVERED})),
        "waiting (none)": LogFilter(statuses=frozenset({LogStatus.WAITING})),
        "failed": LogFilter(statuses=failed),
        "canceled (none)": LogFilter(statuses=frozenset({LogStatus.CANCELED})),
        "a type": LogFilter(event_type="order.type3"),
        "a rare type": LogFilter(event_type="rare.*"),
        "no such type": LogFilter(event_type="nothing"),
        "no such tag": LogFilter(tag="nothing"),
        "an endpoint": LogFilter(endpoint_id=here),
        "an endpoint, no such type": LogFilter(endpoint_id=here, event_type="nothing"),
        "an endpoint, failed (rare)": LogFilter(endpoint_id=here, statuses=failed),
        "failed, no such tag": LogFilter(statuses=failed, tag="nothing"),
        "5xx": LogFilter(http_class=5),
        "4xx (none)": LogFilter(http_class=4),
        "TLS (rare)": LogFilter(error_kind="tls"),
        "an event id": LogFilter(message="event-999"),
    }
    found: dict[str, Look] = {
        f"log: {name}": lambda wanted=wanted: log.page(app_id, wanted)  # type: ignore[misc]
        for name, wanted in filters.items()
    }
    since = datetime.fromtimestamp(NOW - crowd.DAYS * crowd.DAY, UTC)
    endpoint = ids.text(ids.ENDPOINT, here)
    return found | {
        "a message": lambda: log.message(ORG, app_id, "event-999"),
        "chart: 24 hours": lambda: overview.series(app_id, Span.DAY),
        "chart: 28 days": lambda: overview.series(app_id, Span.MONTH),
        "health of endpoints": lambda: overview.health(app_id, [here, ill]),
        "count: all": lambda: replay.count_matching(app_id, LogFilter()),
        "count: failed": lambda: replay.count_matching(app_id, LogFilter(statuses=failed)),
        "count: missing": lambda: replay.count_missing(app_id, endpoint, since, None),
        "operator: applications": lambda: operator.applications(ORG),
        "operator: failing": lambda: operator.endpoints(ORG, EndpointStatus.FAILING),
        "operator: healthy": lambda: operator.endpoints(ORG, EndpointStatus.HEALTHY),
        "operator: undelivered": lambda: operator.undelivered(ORG),
        "operator: no such message": lambda: operator.find_message(ORG, ids.text(ids.MESSAGE, here)),
        "operator: an event id": lambda: operator.find_message(ORG, "event-999"),
    }


@dataclass(frozen=True, slots=True)
class Took:
    """What a look takes, once everything is warm."""

    milliseconds: float  # the median
    cpu: float  # milliseconds of PostgreSQL's session, on average


async def took(look: Look, schedule: Path) -> Took:
    """`schedule`: where the system counts the time of the session that serves the look."""
    for _ in range(WARM):
        await look()
    times = []
    before = _run(schedule)
    for _ in range(TIMES):
        begun = time.perf_counter()
        await look()
        times.append((time.perf_counter() - begun) * 1000)
    cpu = _run(schedule) - before
    return Took(statistics.median(times), cpu / TIMES / 1e6)


def _run(schedule: Path) -> int:
    """Nanoseconds for which a process has run."""
    return int(schedule.read_text().split()[0])


async def measure(url: str, attempts: int) -> Table:
    """Every look, in a database that bench/history.py has filled."""
    database = await Database.connect(url, size=1)
    try:
        async with database.connection() as connection:
            pid = await connection.fetchval("select pg_backend_pid()")
        schedule = Path(f"/proc/{pid}/schedstat")
        found = {name: await took(look, schedule) for name, look in looks(database).items()}
    finally:
        await database.close()
    table = Table(
        f"Pages and lists with {attempts:,} attempts", ("look", "median ms", "ms of PostgreSQL's CPU"),
        note=f"The slowest takes {max(one.milliseconds for one in found.values()):.0f} ms.",
    )  # fmt: skip
    for name, one in found.items():
        table.add(name, f"{one.milliseconds:.1f}", f"{one.cpu:.1f}")
    return table


async def _alone(data: Path, attempts: int) -> Table:
    server = await EmbeddedPostgres.start(data, durable=False)
    try:
        await migrate(server.url())
        owner = await asyncpg.connect(server.url())
        await find_tables(owner)
        await owner.close()
        connection = await Connector(server.url(), statement_timeout=None)()
        try:
            made = await history.there_or_made(connection, attempts)
        finally:
            await connection.close()
        return await measure(server.url(), made)
    finally:
        await server.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attempts", type=int, default=10_000_000)
    parser.add_argument("--data", type=Path, help="where to keep the database")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="angarium-bench-") as directory:
        asyncio.run(_alone(options.data or Path(directory), options.attempts)).show()


if __name__ == "__main__":
    main()
