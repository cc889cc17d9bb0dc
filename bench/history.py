"""Creates a long history in SQL within minutes: 10 M attempts, or a million waiting deliveries.

The data is that of the tests (tests/kit/crowd.py): one large application among 1,000 small ones, three
endpoints each, with realistic failures. It is inserted into a PostgreSQL that is not durable at that time,
with the indexes of the large tables removed and created again at the end.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from angarium.store import partition
from angarium.store.connection import Connection
from tests.kit import crowd

SMALL: Final = 1_000  # applications
PER_MESSAGE: Final = 3  # deliveries, each with one attempt
LARGE: Final = 0.9  # share of all messages that are the large application's
DAYS: Final = 90  # over which they came: with those made ahead, 98 partitions of each table
_TABLES: Final = ("message", "payload", "attempt")
_INDEXES: Final = """
select replace(i.indexdef, ' ON ONLY ', ' ON ') as indexdef, 'drop index ' || i.indexname as away
from pg_indexes i
where i.schemaname = 'angarium_1' and i.tablename = any($1::text[])
  and not exists (select from pg_constraint c where c.conname = i.indexname)
"""
_KEYS: Final = """
select format('alter table %s add constraint %I %s', c.conrelid::regclass, c.conname, d.definition) as made,
       format('alter table %s drop constraint %I', c.conrelid::regclass, c.conname) as away
from pg_constraint c cross join lateral pg_get_constraintdef(c.oid) as d (definition)
where c.contype = 'p' and c.conrelid = any(select t::regclass from unnest($1::text[]) t)
"""
# the time of an id is its first 48 bits; a thousand of what waits came in each
_WAITING: Final = """
with made as (
    insert into message (app_id, id, event_type, expires_at)
    select $1, (lpad(to_hex($3::bigint + n / 1000), 12, '0') || '70008' || lpad(to_hex(n), 15, '0'))::uuid,
           'order.placed', $6
    from generate_series(1, $4::bigint) n
    returning id, expires_at
),
kept as (
    insert into payload (message_id, expires_at, body) select id, expires_at, convert_to($5, 'UTF8') from made
)
insert into pending (shard, endpoint_id, message_id, app_id, due_at)
select e.shard, e.id, made.id, $1, $7
from made cross join endpoint e where e.app_id = $1 and e.id = $2
"""


@dataclass(frozen=True, slots=True)
class Past:
    attempts: int
    seconds: float  # that it took to make


async def make(connection: Connection, attempts: int) -> Past:
    """At least so many attempts, in an empty database. Nothing of it is due."""
    begun = time.monotonic()
    keys = await connection.fetch(_KEYS, list(_TABLES))
    indexes = await connection.fetch(_INDEXES, list(_TABLES))
    messages = -(-attempts // PER_MESSAGE)
    large = int(messages * LARGE)
    await connection.execute("set work_mem = '512MB'; set maintenance_work_mem = '1GB'; set jit = off")
    for one in (*indexes, *keys):
        await connection.execute(one["away"])
    each = -(-(messages - large) // SMALL)
    await crowd.fill(connection, messages=large, applications=SMALL, each=each, days=DAYS)
    for one in keys:
        await connection.execute(one["made"])
    for one in indexes:
        await connection.execute(one["indexdef"])
    await connection.execute("delete from background_task")  # tasks that no process could continue
    await connection.execute("vacuum (analyze, freeze)")
    await connection.execute("checkpoint")
    made = await connection.fetchval("select count(*) from attempt")
    return Past(made, time.monotonic() - begun)


async def there_or_made(connection: Connection, attempts: int) -> int:
    """How many attempts an installation has; makes at least so many where there is no application."""
    if not await connection.fetchval("select exists (select from application)"):
        await make(connection, attempts)
    return int(await connection.fetchval("select count(*) from attempt"))


async def wait_for(connection: Connection, app_id: UUID, endpoint_id: UUID, count: int, body: str) -> None:
    """So many deliveries that are due, of messages with this payload, for one endpoint."""
    now = datetime.now(UTC)
    start = int(now.timestamp() * 1000) - count // 1000 - 1000
    days = [UUID(int=at << 80) for at in (start, start + count // 1000)]
    await partition.cover(connection, days, [now + timedelta(days=90)])
    await connection.execute(_WAITING, app_id, endpoint_id, start, count, body, now + timedelta(days=90), now)
    await connection.execute("vacuum analyze message, payload, pending")
