"""A crowded database, made in SQL: one large application among many small ones, for plans and timings.

The large application has three endpoints: one that hardly ever fails, one that fails now and then, and one
that has failed for the last tenth of the time. Each message is owed to all three, each delivery has one
attempt. Each small application has three endpoints and as many messages as asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from angarium.core.tally import CLASSES, WHOLE

ORG: Final = "org_23rb8YdGqMT0qIzpgGwdXfHirMu"
NOW: Final = 1_800_000_000.0
SPAN: Final = 13 * 86400  # seconds over which the messages came

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
       '{ORG}', 'https://hooks.example.com/' || e, '', (n * 3 + e) % 64, 'e' || e, $2, $2
from generate_series(0, $1::integer) n, generate_series(0, 2) e;
"""
# `n` counts the messages; the large application is the first; small ones get theirs in turn
_MESSAGE: Final = f"""
insert into message (app_id, id, event_id, event_type, payload, tags, expires_at)
select ('{_SMALL}' || lpad(app::text, 12, '0'))::uuid,
       (lpad(to_hex(at), 12, '0') || '70008' || lpad(to_hex(n), 15, '0'))::uuid,
       'event-' || n, case when n % 25000 = 7 then 'rare.thing' else 'order.type' || n % 20 end,
       convert_to(repeat('{{"n": 1}}', 20), 'UTF8'), case when n % 10 = 0 then array['tenth'] end, $6
from (
    select n, $1::integer + n % $2::integer as app, $3::bigint + n * $4::bigint / $5::bigint as at
    from generate_series(1, $5::bigint) n
) made;
"""
_EVENT_ID: Final = """
insert into event_id (app_id, event_id, message_id) select app_id, event_id, id from message order by 1, 2;
"""
_DELIVERY: Final = f"""
insert into delivery (
    app_id, endpoint_id, message_id, shard, fifo, state, failures, attempts, due_at, status_code, error_code
)
select m.app_id,
       ('{_ENDPOINT}' || lpad((right(m.app_id::text, 12)::bigint * 3 + e)::text, 12, '0'))::uuid, m.id,
       (right(m.app_id::text, 12)::bigint * 3 + e) % 64, false,
       case fate when 'ok' then 0 when 'retrying' then 1 else 2 end,
       case fate when 'ok' then 0 when 'retrying' then 2 else 5 end, 1,
       case fate when 'retrying' then $2::timestamptz end,
       case fate when 'ok' then 200 when 'http_500' then 500 else 0 end,
       case fate when 'ok' then null when 'retrying' then 'timeout' else fate end
from (
    select m.*, e, case
        when e = 0 and n % 20000 = 1 then 'tls_expired'
        when e = 1 and n % 50 = 0 then 'http_500'
        when e = 1 and n % 1000 = 1 then 'retrying'
        when e = 2 and n > $1::bigint then 'connect_refused'
        else 'ok' end as fate
    from (select app_id, id, right(event_id, -6)::bigint as n from message) m, generate_series(0, 2) e
    order by m.id
) m;
"""
_ATTEMPT: Final = """
insert into attempt (
    app_id, message_id, id, endpoint_id, number, manual, status, status_code, error_code, error, response,
    duration_ms, url
)
select app_id, message_id,
       (left(message_id::text, 19) || right(endpoint_id::text, 4) || right(message_id::text, 13))::uuid,
       endpoint_id, 1, false, case when state = 0 then 0 else 2 end, status_code, error_code,
       case when error_code is not null then 'What happened and what to do, in some words.' end,
       '{"ok": true}', 25 + (seq % 200)::integer, 'https://hooks.example.com/'
from delivery order by seq;
"""
_HEALTH: Final = """
insert into endpoint_health (app_id, endpoint_id, failing_since, failures)
select app_id, endpoint_id, $1, count(*) from delivery where error_code = 'connect_refused' group by 1, 2;
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
    endpoints: tuple[UUID, UUID, UUID]  # of the large one: hardly ever, now and then, and now failing
    message_id: UUID  # one of its middle


def application_id(number: int) -> UUID:
    return UUID(f"{_SMALL}{number:012d}")


def endpoint_id(number: int) -> UUID:
    return UUID(f"{_ENDPOINT}{number:012d}")


async def fill(connection: Any, *, messages: int, applications: int, each: int) -> Crowd:
    """Make the crowd: `messages` of the large application, and `applications` with `each`."""
    now = datetime.fromtimestamp(NOW, UTC)
    start, span = int(NOW - SPAN) * 1000, SPAN * 1000
    await connection.execute(_APPLICATION, applications, now)
    await connection.execute(_ENDPOINTS, applications, now)
    await connection.execute(_MESSAGE, 0, 1, start, span, messages, now)
    if applications * each:
        await connection.execute(_MESSAGE, 1, applications, start, span, applications * each, now)
    await connection.execute(_EVENT_ID)
    await connection.execute(_DELIVERY, messages * 9 // 10, now)
    await connection.execute(_ATTEMPT)
    await connection.execute(_HEALTH, now)
    await connection.execute(_HOUR, WHOLE, now, application_id(0), [30] * CLASSES)
    await connection.execute(_TASK, now)
    await connection.execute("analyze")
    middle = messages // 2
    at = start + middle * span // messages
    message_id = UUID(int=(at << 80) | (0x7 << 76) | (0x8 << 60) | middle)
    return Crowd(application_id(0), (endpoint_id(0), endpoint_id(1), endpoint_id(2)), message_id)
