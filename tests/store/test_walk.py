"""Every list and every step of a background task walks an index: none reads a large table as a whole."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from angarium.core import ids
from angarium.core.log_filter import LogStatus
from angarium.core.nouns import AttemptStatus
from angarium.store import attempt, background_task, delivery, message, partition, requeue
from angarium.store.attempt import AttemptFilter
from angarium.store.connection import Connection
from angarium.store.database import Database
from angarium.store.message import Filter, IdRange
from angarium.store.retention import LANES, QUEUE, RULES, Retention
from angarium.store.sql import queries
from angarium.store.target import ReplayTarget, find_target
from tests.kit.plan import generic_plan

NOW = datetime(2026, 11, 20, tzinfo=UTC)
APP, OTHER = UUID(int=1), UUID(int=2)
EVERY = Filter()
SOME = Filter("c1", "t1", ("a", "b"))

# two applications with 20,000 and 5,000 messages, 20 endpoints each, a delivery and an attempt a message
FILL = """
insert into endpoint (app_id, id, org_id, url, keys, shard, uid, created_at, updated_at)
select app, ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'org_1', 'http://a/', '', n % 64,
       'e' || n, NOW, NOW
from generate_series(1, 20) n, unnest(array[APP, OTHER]) app;

insert into message (app_id, id, event_id, event_type, channels, tags, expires_at)
select case when n <= 20000 then APP else OTHER end, ID, 'm' || n, 'a', '{c1}', '{t1}', NOW
from generate_series(1, 25000) n;

insert into payload (message_id, expires_at, body) select id, expires_at, '{}' from message;

insert into event_id (app_id, event_id, message_id)
select case when n <= 20000 then APP else OTHER end, 'm' || n, ID from generate_series(1, 25000) n;

insert into pending (app_id, endpoint_id, message_id, shard, due_at)
select case when n <= 20000 then APP else OTHER end, ENDPOINT, ID, n % 20 + 1, NOW
from generate_series(1, 25000) n where n % 8 in (1, 2);

insert into retry (app_id, endpoint_id, message_id, shard, state, failures, attempts, due_at)
select case when n <= 20000 then APP else OTHER end, ENDPOINT, ID, n % 20 + 1, 1, 1, 1, NOW
from generate_series(1, 25000) n where n % 8 in (3, 4);

insert into attempt (
    app_id, message_id, id, endpoint_id, number, failures, state,
    manual, status, status_code, duration_ms, revision, final
)
select case when n <= 20000 then APP else OTHER end, ID, ID, ENDPOINT, 1, 0,
       case n % 8 when 3 then 1 when 4 then 1 when 5 then 2 when 6 then 4 else 0 end,
       false, n % 2 * 2, 200, 1, 1, n % 8 not in (3, 4)
from generate_series(1, 25000) n where n % 8 not in (1, 2);

insert into background_task (id, org_id, app_id, kind, status, arguments, created_at, updated_at)
select ID, 'org_' || n % 50, APP, 'endpoint.recover', case n % 500 when 0 then 'running' else 'finished' end,
       '{}', NOW, NOW
from generate_series(1, 25000) n;

insert into angarium.idempotency (key, locked_until, expires_at)
select decode(md5(n::text), 'hex'), NOW, NOW from generate_series(1, 25000) n;

insert into idempotency (key, message_id, app_id, expires_at)
select decode(md5(n::text), 'hex'), ID, APP, NOW from generate_series(1, 25000) n;

insert into audit (org_id, id, actor, action)
select 'org_' || n % 50, ID, 'system', 'a' from generate_series(1, 25000) n;

insert into angarium.audit (org_id, id, actor, action)
select 'org_' || n % 50, ID, 'system', 'a' from generate_series(1, 25000) n;

insert into placement (app_id, org_id, section)
select ID, 'org_1', 'angarium_1' from generate_series(1, 5000) n;

insert into attempt_hour (app_id, endpoint_id, hour, delivered, failed, latency)
select APP, ENDPOINT, NOW - n * interval '1 hour', 1, 0, '{}' from generate_series(1, 5000) n;

insert into revoked_token (digest, expires_at)
select decode(md5(n::text), 'hex'), NOW + n * interval '1 day' from generate_series(1, 5000) n;

insert into organization_token (org_id, digest, first_used_at, last_used_at, expires_at)
select 'org_' || n % 50, decode(md5(n::text), 'hex'), NOW, NOW, NOW + n * interval '1 day'
from generate_series(1, 5000) n;

insert into token_cutoff (app_id, session_id, issued_until, ends_at)
select ID, n, NOW - n * interval '1 day', NOW from generate_series(1, 5000) n;

insert into api_key (id, org_id, app_id, scope, name, lookup, created_at, revoked_at)
select ID, 'org_' || n % 50, APP, 'a', 'b', decode(md5(n::text), 'hex'), NOW, NOW - n * interval '1 day'
from generate_series(1, 5000) n;

insert into application (id, org_id, name, created_at, updated_at, deleted_at)
select ID, 'org_' || n % 50, 'a', NOW, NOW, case n % 100 when 0 then NOW - n * interval '1 day' end
from generate_series(1, 5000) n;

insert into endpoint (app_id, id, org_id, url, keys, shard, created_at, updated_at, deleted_at)
select ID, ID, 'org_1', 'http://a/', '', 1, NOW, NOW, case n % 100 when 50 then NOW - n * interval '1 day' end
from generate_series(1, 5000) n;

insert into endpoint_health (app_id, endpoint_id) select app_id, id from endpoint;

insert into listener (app_id, endpoint_id, heard_at) select app_id, id, NOW from endpoint;

insert into sandbox_counter (app_id, name, value) select id, 'a', 1 from application;

insert into play_inbox (id, org_id, app_id, expires_at)
select ID, 'org_1', APP, NOW + n * interval '1 hour' from generate_series(1, 5000) n;

insert into play_request (inbox_id, id, method, headers, body, size, status_code, finding)
select ID, ID, 'POST', '[]', '', 0, 200, '' from generate_series(1, 5000) n
"""
WORDS = {
    "ID": "(lpad(to_hex(1790000000000 + n * 1000), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid",
    "APP": f"'{APP}'::uuid",
    "OTHER": f"'{OTHER}'::uuid",
    "ENDPOINT": "('00000000-0000-7000-8000-' || lpad((n % 20 + 1)::text, 12, '0'))::uuid",
    "NOW": "'2026-11-20T00:00:00Z'::timestamptz",
}
LARGE = "select relname from pg_class where relkind = 'r' and reltuples >= 1000"
SCAN = re.compile(r"Seq Scan on (\w+)")
SORT = re.compile(r"\bSort  \(")


class Explaining:
    """A connection that explains each statement in place of running it."""

    def __init__(self, connection: Connection, large: frozenset[str]) -> None:
        self._connection = connection
        self.section = connection.section
        self.large = large  # tables and partitions; any plan will do for those with little in them
        self.plans: list[str] = []

    def is_in_transaction(self) -> bool:
        return False

    async def _explain(self, sql: str, args: tuple[Any, ...]) -> None:
        rows = await self._connection.fetch(f"explain {sql}", *args)
        self.plans.append("\n".join(row[0] for row in rows))
        self.plans.append("\n".join(await generic_plan(self._connection, sql)))

    async def fetch(self, sql: str, *args: Any) -> list[Any]:
        await self._explain(sql, args)
        return []

    async def fetchrow(self, sql: str, *args: Any) -> None:
        await self._explain(sql, args)

    async def fetchval(self, sql: str, *args: Any) -> None:
        await self._explain(sql, args)

    async def execute(self, sql: str, *args: Any) -> str:
        await self._explain(sql, args)
        return "UPDATE 0"


@pytest.fixture
async def explaining(database: Database) -> AsyncIterator[Explaining]:
    async with database.connection() as connection:
        days = [ids.lowest(at) for at in (1_790_000_000, 1_790_025_000)]
        await partition.cover(connection, days, [NOW])
        await connection.execute(
            re.sub(r"\b(ID|APP|OTHER|ENDPOINT|NOW)\b", lambda word: WORDS[word[0]], FILL)
        )
        await connection.execute("analyze")
        large = frozenset(row["relname"] for row in await connection.fetch(LARGE))
        yield Explaining(connection, large)


ENDPOINT = UUID("00000000-0000-7000-8000-000000000003")
SOME_ID = ids.lowest(1_790_000_000 + 9_000)
TARGET = ReplayTarget(ENDPOINT, APP, 3, False, None, None, None)
DOWN, UP = IdRange(UUID(int=0), SOME_ID, 51), IdRange(SOME_ID, UUID(int=(1 << 128) - 1), 51, upwards=True)
NARROW = AttemptFilter(AttemptStatus.FAIL, 500, ENDPOINT)

LOOKS: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "message.get": lambda c: message.get(c, APP, SOME_ID, NOW),
    "message.find": lambda c: message.find(c, APP, "m17"),
    "message.expunge": lambda c: message.expunge(c, APP, SOME_ID),
    "message.expunge_payload": lambda c: queries.payload_expunge(c, id=SOME_ID, expires_at=NOW),
    "message.kept": lambda c: message.kept(c, {SOME_ID: NOW}, NOW),
    "requeue.missing_end": lambda c: requeue.missing_end(c, APP, UUID(int=0), SOME_ID, 1000),
    "attempt.get": lambda c: attempt.get(c, APP, SOME_ID, SOME_ID),
    "attempt.expunge": lambda c: attempt.expunge(c, APP, SOME_ID, SOME_ID),
    "delivery.target": lambda c: find_target(c, APP, uid="e3"),
    "delivery.resend": lambda c: requeue.resend(c, TARGET, SOME_ID, NOW),
    "delivery.recover": lambda c: queries.resend_recover(
        c,
        app_id=APP,
        endpoint_id=ENDPOINT,
        first=UUID(int=0),
        last=SOME_ID,
        shard=3,
        fifo=False,
        due_at=NOW,
        now=NOW,
    ),
    "delivery.retries": lambda c: delivery.retries(c, APP, ENDPOINT, [SOME_ID]),
    "delivery.recover_scan": lambda c: requeue.recover(c, TARGET, UUID(int=0), SOME_ID, NOW),
    "delivery.replay_scan": lambda c: requeue.replay(c, TARGET, UUID(int=0), SOME_ID, NOW),
    "cancel.pending": lambda c: queries.cancel_pending(
        c, app_id=APP, endpoint_id=ENDPOINT, shard=3, before=SOME_ID, limit=1000, now=NOW
    ),
    "cancel.retry": lambda c: queries.cancel_retry(
        c, app_id=APP, endpoint_id=ENDPOINT, before=SOME_ID, limit=1000, now=NOW, wait=True
    ),
    "cancel.waiting": lambda c: queries.cancel_waiting(
        c, app_id=APP, endpoint_id=ENDPOINT, limit=1000, now=NOW
    ),
    "cancel.message_pending": lambda c: queries.cancel_message_pending(
        c, app_id=APP, message_id=SOME_ID, now=NOW
    ),
    "cancel.message_retry": lambda c: queries.cancel_message_retry(
        c, app_id=APP, message_id=SOME_ID, now=NOW
    ),
    "delivery.release": lambda c: requeue.release(c, APP, ENDPOINT, NOW, 1000, fifo=False),
    "background_task.get": lambda c: background_task.get(c, "org_1", SOME_ID),
    "background_task.claim": lambda c: background_task.claim(c, NOW),
    "background_task.next_due": lambda c: background_task.next_due(c),
    "background_task.of_application": lambda c: background_task.of_application(c, OTHER, 20),
    "background_task.cancel": lambda c: background_task.cancel(c, APP, SOME_ID, NOW),
}
for way, page in (("down", DOWN), ("up", UP)):
    for some, wanted in (("", EVERY), ("filtered ", SOME)):
        like = NARROW if some else AttemptFilter()
        statuses = [LogStatus.CANCELED] if some else None
        LOOKS |= {
            f"message.page {some}{way}": lambda c, p=page, w=wanted: message.page(
                c, APP, p, w, NOW, with_payload=True
            ),  # type: ignore[misc]
            f"attempt.by_endpoint {some}{way}": lambda c, p=page, w=wanted, k=like: attempt.by_endpoint(  # type: ignore[misc]
                c, APP, ENDPOINT, p, k, w, with_response=True
            ),
            f"attempt.by_message {some}{way}": lambda c, p=page, w=wanted, k=like: attempt.by_message(  # type: ignore[misc]
                c, APP, SOME_ID, p, k, w, with_response=True
            ),
            f"delivery.by_endpoint {some}{way}": lambda c, p=page, w=wanted, s=statuses: delivery.by_endpoint(  # type: ignore[misc]
                c, APP, ENDPOINT, p, w, NOW, statuses=s, with_payload=True
            ),
        }
    LOOKS |= {
        f"delivery.destinations {way}": lambda c, p=page: delivery.destinations(c, APP, SOME_ID, p),  # type: ignore[misc]
        f"background_task.page {way}": lambda c, p=page: background_task.page(c, "org_1", p),  # type: ignore[misc]
    }


LOOKS |= {
    f"retention.{rule.table}": lambda c, r=rule: r.end(c, Retention(), NOW)  # type: ignore[misc]
    for rule in (*QUEUE, *RULES)
}
LOOKS |= {
    f"retention.{rule.table}": lambda c, r=rule: r.verb(  # type: ignore[misc]
        c, before=SOME_ID, now=NOW, limit=10, lanes=10, shard=1, endpoint_id=ENDPOINT
    )
    for rule in LANES
}


async def test_no_statement_scans_a_large_table(explaining: Explaining) -> None:
    faults = []
    for name, look in LOOKS.items():
        explaining.plans.clear()
        await look(explaining)
        assert explaining.plans, name
        faults += [
            f"{name}:\n{plan}"
            for plan in explaining.plans
            if explaining.large.intersection(SCAN.findall(plan))
        ]
    assert not faults, "\n\n".join(faults)


async def test_lists_stop_at_their_limit_instead_of_sorting_everything(explaining: Explaining) -> None:
    faults = []
    for name, look in LOOKS.items():
        if "page" in name or "by_" in name:
            explaining.plans.clear()
            await look(explaining)
            # the first is the plan for these values; an attempt list of one message may sort its few rows
            plan = explaining.plans[0]
            if SORT.search(plan) and "by_message" not in name:
                faults.append(f"{name}:\n{plan}")
    assert not faults, "\n\n".join(faults)
