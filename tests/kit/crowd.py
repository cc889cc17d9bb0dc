"""A crowded database, made in SQL: one large application among many small ones, for plans and timings.

The large application has three endpoints: one that hardly ever fails, one that fails sometimes, and one
that has failed for the last tenth of the time. Each message goes to all three, each delivery has one
attempt, but for a few at the second endpoint that were never attempted. Each small application has three
endpoints and as many messages as asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from angarium.core import ids
from angarium.core.hourly_stats import CLASSES, WHOLE
from angarium.store import partition
from angarium.store.connection import Connection

ORG: Final = "org_23rb8YdGqMT0qIzpgGwdXfHirMu"
NOW: Final = 1_800_000_000.0
DAY: Final = 86400
DAYS: Final = 13  # over which the messages came, if nothing else is said
KEPT: Final = timedelta(days=90)  # of their payloads

_SMALL: Final = "00000000-0000-7000-9000-"
_ENDPOINT: Final = "00000000-0000-7000-8000-"

_APPLICATION: Final = f"""
insert into application (id, org_id, uid, name, created_at, updated_at)
select ('{_SMALL}' || lpad(n::text, 12, '0'))::uuid, '{ORG}', 'app-' || n, 'Customer ' || n, $2, $2
from generate_series(0, $1::integer) n;
"""
_ENDPOINTS: Final = f"""
insert into endpoint (app_id, id, org_id, url, keys, shard, uid, created_at, updated_at)
select ('{_SMALL}' || lpad(n::text, 12, '0'))::uuid,
       ('{_ENDPOINT}' || lpad((n * 3 + e)::text, 12, '0'))::uuid,
       '{ORG}', 'https://hooks.example.com/' || e, '',
       get_byte(uuid_send(('{_ENDPOINT}' || lpad((n * 3 + e)::text, 12, '0'))::uuid), 15) % 64,
       'e' || e, $2, $2
from generate_series(0, $1::integer) n, generate_series(0, 2) e;
"""
# `n` counts the messages; the large application is the first; small ones get theirs in turn
_MESSAGE: Final = f"""
with made as (
    insert into message (app_id, id, event_id, event_type, tags, expires_at)
    select ('{_SMALL}' || lpad(app::text, 12, '0'))::uuid,
           (lpad(to_hex(at), 12, '0') || '70008' || lpad(to_hex(n), 15, '0'))::uuid,
           'event-' || n, case when n % 25000 = 7 then 'rare.thing' else 'order.type' || n % 20 end,
           case when n % 10 = 0 then array['tenth'] end, to_timestamp(at / 1000) + $6
    from (
        select n, $1::integer + n % $2::integer as app, $3::bigint + n * $4::bigint / $5::bigint as at
        from generate_series(1, $5::bigint) n
    ) made
    returning id, expires_at
)
insert into payload (message_id, expires_at, body)
select id, expires_at, convert_to(repeat('{{"n": 1}}', 20), 'UTF8') from made;
"""
_EVENT_ID: Final = """
insert into event_id (app_id, event_id, message_id) select app_id, event_id, id from message order by 1, 2;
"""
# what became of each message at each endpoint; those that are being retried are in the queue
_FATE: Final = f"""
create temporary table fate as
select m.app_id,
       ('{_ENDPOINT}' || lpad((right(m.app_id::text, 12)::bigint * 3 + e)::text, 12, '0'))::uuid
           as endpoint_id,
       m.id as message_id,
       case
           when e = 0 and n % 20000 = 1 then 'tls_expired'
           when e = 1 and n % 50 = 0 then 'http_500'
           when e = 1 and n % 10 in (1, 3, 5) then 'timeout'
           when e = 2 and n > $1::bigint then 'connect_refused'
       end as error_code,
       case when e <> 1 then 'over' when n % 10 in (1, 3, 5) then 'retry'
           when n % 5 = 2 then 'pending' else 'over'
           end as place,
       row_number() over (order by m.id, e) as seq
from (select app_id, id, right(event_id, -6)::bigint as n from message) m, generate_series(0, 2) e;
"""
_PENDING: Final = """
insert into pending (shard, endpoint_id, message_id, app_id, due_at)
select e.shard, endpoint_id, message_id, f.app_id, $1
from fate f
join endpoint e on e.app_id = f.app_id and e.id = f.endpoint_id
where place = 'pending' order by seq;
"""
_RETRY: Final = """
insert into retry (
    endpoint_id, message_id, app_id, shard, state, failures, attempts, due_at, status_code, error_code
)
select endpoint_id, message_id, f.app_id, e.shard, 1, 2, 1, $1, 0, error_code
from fate f
join endpoint e on e.app_id = f.app_id and e.id = f.endpoint_id
where place = 'retry' order by seq;
"""
_ATTEMPT: Final = """
insert into attempt (
    message_id, id, endpoint_id, app_id, number, failures, duration_ms, state,
    status, status_code, manual, final, revision, error_code,
    error, response
)
select message_id,
       (left(message_id::text, 19) || right(endpoint_id::text, 4) || right(message_id::text, 13))::uuid,
       endpoint_id, app_id, 1, case when error_code is null then 0 when place = 'retry' then 2 else 5 end,
       25 + (seq % 200)::integer,
       case when error_code is null then 0 when place = 'retry' then 1 else 2 end,
       case when error_code is null then 0 else 2 end,
       case when error_code is null then 200 when error_code = 'http_500' then 500 else 0 end,
       false, place = 'over', 1, error_code,
       case when error_code is not null then 'What happened and what to do, in some words.' end,
       '{"ok": true}'
from fate where place <> 'pending' order by seq;
"""
_HEALTH: Final = """
insert into endpoint_health (app_id, endpoint_id, failing_since, failures)
select app_id, endpoint_id, $1, count(*) from fate where error_code = 'connect_refused' group by 1, 2;
"""
_HOUR: Final = """
insert into attempt_hour (app_id, endpoint_id, hour, delivered, failed, latency, failed_at, error_code)
select app_id, e.id, hour, 1000, e.failed, $4::integer[], case when e.failed > 0 then hour end, 'timeout'
from (
    select app_id, id, case when uid = 'e0' then 0 else 10 end as failed from endpoint
    union all select id, $1::uuid, 20 from application
) e, generate_series($2::timestamptz - interval '671 hours', $2, interval '1 hour') hour
where app_id = $3 or hour > $2 - interval '30 hours';
"""
_TASK: Final = f"""
insert into background_task (
    id, org_id, app_id, kind, status, arguments, created_at, updated_at
)
select (lpad(to_hex(n), 12, '0') || '7000' || '9' || lpad(to_hex(n), 15, '0'))::uuid, '{ORG}',
       ('{_SMALL}' || lpad((n % 100)::text, 12, '0'))::uuid, 'delivery.resend',
       case when n % 1000 = 0 then 'running' else 'finished' end, '{{}}', $1, $1
from generate_series(1, 10000) n;
"""


@dataclass(frozen=True, slots=True)
class Crowd:
    """What was made, to ask for."""

    app_id: UUID  # the large one
    endpoints: tuple[UUID, UUID, UUID]  # of the large one: hardly ever, sometimes, and now failing
    message_id: UUID  # one of its middle


def application_id(number: int) -> UUID:
    return UUID(f"{_SMALL}{number:012d}")


def endpoint_id(number: int) -> UUID:
    return UUID(f"{_ENDPOINT}{number:012d}")


async def _make_partitions(connection: Connection, days_of_history: int) -> None:
    """The partitions of so many days, and those that are made ahead."""
    days = [NOW + n * DAY for n in range(-days_of_history, 1 + partition.AHEAD)]
    expiries = [datetime.fromtimestamp(day, UTC) + KEPT for day in days]
    await partition.cover(connection, [ids.lowest(day) for day in days], expiries)


async def fill(
    connection: Connection, *, messages: int, applications: int, each: int, days: int = DAYS
) -> Crowd:
    """Make the crowd: `messages` of the large application, and `applications` with `each`, which came over
    the last `days` days."""
    now = datetime.fromtimestamp(NOW, UTC)
    start, span = int(NOW - days * DAY) * 1000, days * DAY * 1000
    await _make_partitions(connection, days)
    await connection.execute(_APPLICATION, applications, now)
    await connection.execute(_ENDPOINTS, applications, now)
    await connection.execute(_MESSAGE, 0, 1, start, span, messages, KEPT)
    if applications * each:
        await connection.execute(_MESSAGE, 1, applications, start, span, applications * each, KEPT)
    await connection.execute(_EVENT_ID)
    await connection.execute(_FATE, messages * 9 // 10)
    await connection.execute(_PENDING, now)
    await connection.execute(_RETRY, now)
    await connection.execute(_ATTEMPT)
    await connection.execute(_HEALTH, now)
    await connection.execute(_HOUR, WHOLE, now, application_id(0), [30] * CLASSES)
    await connection.execute(_TASK, now)
    await connection.execute("drop table fate")
    await connection.execute("vacuum analyze")
    middle = messages // 2
    at = start + middle * span // messages
    message_id = UUID(int=(at << 80) | (0x7 << 76) | (0x8 << 60) | middle)
    return Crowd(application_id(0), (endpoint_id(0), endpoint_id(1), endpoint_id(2)), message_id)
