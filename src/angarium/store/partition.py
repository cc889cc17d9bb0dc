"""Creates and drops the partitions of the history, one for each day (UTC).

`message` and `attempt` are partitioned by the message's id, `payload` by the time at which it expires. There
is no default partition: rows in it would block the creation of the partition to which they belong. A
statement that finds no partition fails. The functions that write history then create it and try again, so
they do not depend on maintenance.

Creating a partition blocks no other statement. Dropping one locks its parent briefly. It gives up after
`PATIENCE`, because later statements wait behind it, and is tried again at the next maintenance.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar
from uuid import UUID

import asyncpg
import structlog

from angarium.store.connection import Connection
from angarium.store.sql import queries

log = structlog.get_logger(__name__)

T = TypeVar("T")

AHEAD: Final = 7  # days
RETENTION: Final = timedelta(days=90)  # of payloads, unless a message says otherwise
PATIENCE: Final = "50ms"
TRIES: Final = 3  # to write a row without a partition: another process may drop the new one as expired
_DAY: Final = timedelta(days=1)
_BY_ID: Final = ("message", "attempt")
_BY_EXPIRY: Final = "payload"


async def covered(
    connection: Connection, write: Callable[[], Awaitable[T]], cover: Callable[[], Awaitable[None]]
) -> T:
    """Call `write` and return its result. If a row finds no partition, call `cover` and then `write`
    again."""
    for number in range(TRIES):
        try:
            if not connection.is_in_transaction():
                return await write()
            async with connection.transaction():
                return await write()
        except asyncpg.CheckViolationError as error:
            if error.constraint_name is not None:  # a real constraint; a missing partition has no name
                raise
            parent = error.table_name
        if number and parent is not None:
            # Seen rarely, in sessions that first used the table while another one added its partitions.
            log.warning("partition.unseen", table=parent)
            await queries.partition_refresh(connection, parent=parent)
        await cover()
    return await write()


async def cover(
    connection: Connection, message_ids: Iterable[UUID], expiries: Iterable[datetime] = ()
) -> None:
    """Create missing partitions for messages with these ids, and for payloads that expire at these times."""
    await _add(connection, {_day_of(one) for one in message_ids}, {_midnight(at) for at in expiries})


async def ahead(connection: Connection, now: datetime, retention: timedelta) -> None:
    """Create the partitions of the next days, for payloads that are kept for `retention`."""
    days = [_midnight(now) + n * _DAY for n in range(AHEAD + 1)]
    # the expiry of a payload is rounded up, so the last one of a day may expire on the next day
    await _add(connection, days, [_midnight(now + retention) + n * _DAY for n in range(AHEAD + 2)])


def oldest_day(now: datetime, history: timedelta) -> datetime:
    """The start of the first day that is kept. Only whole days are dropped, so its messages may be up to a
    day older than `history`."""
    return _midnight(now - history)


async def history_ends(connection: Connection, now: datetime, history: timedelta) -> bool:
    """Whether there is a day of history to drop."""
    for parent in _BY_ID:
        if min(await _names(connection, parent), default="~") < _name(parent, oldest_day(now, history)):
            return True
    return False


async def days(
    connection: Connection, now: datetime, history: timedelta
) -> list[tuple[str, datetime, datetime, list[datetime]]]:
    """Of each table: its name, the first day that is kept, the time of what is written to it last, and the
    days for which it has partitions."""
    written = [(parent, oldest_day(now, history), now) for parent in _BY_ID]
    written.append((_BY_EXPIRY, _midnight(now), now + min(RETENTION, history)))
    return [
        (*of_table, [_day_named(name) for name in await _names(connection, of_table[0])])
        for of_table in written
    ]


async def drop(connection: Connection, now: datetime, history: timedelta, limit: int) -> int:
    """Drop the days of history that are older than `history`, and payloads that have expired, at most `limit`
    partitions. Returns how many. A partition that is locked stays until the next call."""
    expired = [(parent, oldest_day(now, history)) for parent in _BY_ID] + [(_BY_EXPIRY, _midnight(now))]
    dropped = 0
    for parent, before in expired:
        for name in sorted(await _names(connection, parent)):
            if name >= _name(parent, before) or dropped == limit:
                break
            try:
                async with connection.transaction():
                    await queries.partition_begin(connection, timeout=PATIENCE)
                    await queries.partition_drop(connection, parent=parent, name=name)
            except asyncpg.LockNotAvailableError:
                log.info("partition.locked", partition=name)
                break
            except asyncpg.UndefinedTableError:
                continue  # another process was faster
            log.info("partition.dropped", partition=name)
            dropped += 1
    return dropped


async def _names(connection: Connection, parent: str) -> list[str]:
    return [row["name"] async for row in queries.partition_list(connection, parent=parent)]


async def _add(connection: Connection, by_id: Collection[datetime], by_expiry: Collection[datetime]) -> None:
    wanted = [(parent, day) for day in sorted(by_id) for parent in _BY_ID]
    wanted += [(_BY_EXPIRY, day) for day in sorted(by_expiry)]
    async with connection.transaction():
        # The lock comes first. A partition that another transaction created is visible shortly before other
        # sessions invalidate their cached table definition. The lock is released only after that.
        await queries.partition_begin(connection, timeout="10s")
        known = {name for parent in (*_BY_ID, _BY_EXPIRY) for name in await _names(connection, parent)}
        for parent, day in wanted:
            if _name(parent, day) in known:
                continue
            bound = _bound_of_ids if parent in _BY_ID else _bound_of_times
            await queries.partition_add(
                connection, parent=parent, name=_name(parent, day), low=bound(day), high=bound(day + _DAY)
            )


def _name(parent: str, day: datetime) -> str:
    return f"{parent}_{day.year:04}{day:%m%d}"


def _day_named(name: str) -> datetime:
    return datetime(int(name[-8:-4]), int(name[-4:-2]), int(name[-2:]), tzinfo=UTC)


def _bound_of_ids(day: datetime) -> str:
    return str(UUID(int=int(day.timestamp() * 1000) << 80))


def _bound_of_times(day: datetime) -> str:
    return day.isoformat()


def _midnight(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _day_of(message_id: UUID) -> datetime:
    return _midnight(datetime.fromtimestamp((message_id.int >> 80) / 1000, UTC))
