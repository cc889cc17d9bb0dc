"""Reads what metrics show of the database. Every statement is bounded, and gives up after `TIMEOUT`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from angarium.clock import datetime_at
from angarium.core.allowance import THRESHOLD
from angarium.core.quota import month_of
from angarium.store import partition
from angarium.store.connection import Connection
from angarium.store.database import Database
from angarium.store.shard import SHARDS
from angarium.store.sql import queries

TIMEOUT: Final = "1s"
COUNTED: Final = 100_000
_DAY: Final = timedelta(days=1)
FRESH: Final = 1.0  # seconds: a delivery that is due for less is not looked at


@dataclass(frozen=True, slots=True)
class Queue:
    """Rows of the queue by state. `complete`: they are not more than `COUNTED` of a table."""

    due: int
    scheduled: int
    waiting: int  # for their endpoint to be enabled
    fan_out: int  # messages whose deliveries are not all written
    complete: bool


@dataclass(frozen=True, slots=True)
class TableDays:
    """Partitions of a table: how many, for how many seconds there are some for new rows, and by how many
    seconds the first day has outlived the retention."""

    partitions: int
    ahead: float
    lag: float


@asynccontextmanager
async def brief(database: Database) -> AsyncIterator[Connection]:
    """A transaction in which each statement gives up soon. Raises as `Database.connection`."""
    async with database.transaction() as connection:
        await queries.gauge_begin(connection, timeout=TIMEOUT)
        yield connection


async def unowned(connection: Connection) -> int:
    """How many shards have no owner."""
    owned: int = await queries.gauge_shards(connection)
    return SHARDS - owned


async def queue(connection: Connection, now: float) -> Queue:
    """The rows of the queue, in all sections."""
    row = await queries.gauge_queue(connection, now=datetime_at(now), most=COUNTED)
    return Queue(row["due"], row["scheduled"], row["waiting"], row["fan_out"], not row["more"])


async def oldest_due(connection: Connection, now: float) -> dict[bool, float]:
    """For how many seconds the oldest due delivery has been due, by whether its endpoint's state or settings
    may hold it back. Left out: less than `FRESH`."""
    before = datetime_at(now - FRESH)
    rows = queries.gauge_oldest(connection, before=before, failing=THRESHOLD, most=COUNTED)
    return {row["held"]: now - row["due_at"].timestamp() async for row in rows}


async def tasks(connection: Connection, now: float) -> tuple[int, float]:
    """How many background tasks run, and the age of the oldest in seconds."""
    row = await queries.gauge_tasks(connection, most=COUNTED)
    oldest: datetime | None = row["oldest"]
    return row["running"], 0.0 if oldest is None else max(0.0, now - oldest.timestamp())


async def endpoints(connection: Connection) -> dict[str, int]:
    """How many endpoints are failing and disabled, at most `COUNTED` of each."""
    row = await queries.gauge_endpoints(connection, most=COUNTED)
    return {"failing": row["failing"], "disabled": row["disabled"]}


async def old_keys(connection: Connection, key: bytes) -> dict[str, int]:
    """How many values another key than this one encrypts, at most `COUNTED` of a kind. Those of an endpoint
    count as one."""
    return {
        "endpoint": await queries.gauge_old_key_endpoints(connection, key=key, most=COUNTED),
        "response": await queries.gauge_old_key_responses(connection, key=key, most=COUNTED),
    }


async def quotas(connection: Connection, now: datetime) -> dict[str, int]:
    """How many applications have reached each limit in the month, at most `COUNTED`."""
    rows = queries.gauge_quotas(connection, month=month_of(now), most=COUNTED)
    return {row["reached"]: row["applications"] async for row in rows}


async def server(connection: Connection) -> tuple[int, int]:
    """Size of the database in bytes, and the age of its oldest transaction id."""
    row = await queries.gauge_server(connection)
    return row["bytes"], row["xid_age"]


async def days(connection: Connection, now: datetime, history: timedelta) -> dict[str, TableDays]:
    """The partitions of each table of the history."""
    return {
        table: TableDays(len(held), _ahead(set(held), written), _lag(held, kept))
        for table, kept, written, held in await partition.days(connection, now, history)
    }


def _ahead(held: set[datetime], written: datetime) -> float:
    end = written.replace(hour=0, minute=0, second=0, microsecond=0)
    while end in held:
        end += _DAY
    return max(0.0, (end - written).total_seconds())


def _lag(held: list[datetime], kept: datetime) -> float:
    return max(0.0, (kept - min(held)).total_seconds()) if held else 0.0
