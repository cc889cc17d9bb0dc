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
from angarium.store import attempt, background_task, delivery, message
from angarium.store.attempt import AttemptFilter
from angarium.store.database import Database
from angarium.store.delivery import Target
from angarium.store.message import Filter, Page
from angarium.store.sql import queries
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

insert into message (app_id, id, event_id, event_type, payload, channels, tags, expires_at)
select case when n <= 20000 then APP else OTHER end, ID, 'm' || n, 'a', '{}', '{c1}', '{t1}', NOW
from generate_series(1, 25000) n;

insert into event_id (app_id, event_id, message_id)
select case when n <= 20000 then APP else OTHER end, 'm' || n, ID from generate_series(1, 25000) n;

insert into delivery (app_id, endpoint_id, message_id, shard, fifo, state, due_at)
select case when n <= 20000 then APP else OTHER end,
       ('00000000-0000-7000-8000-' || lpad((n % 20 + 1)::text, 12, '0'))::uuid, ID, n % 20 + 1, false,
       case n % 4 when 3 then 4 else n % 4 end, case n % 4 when 1 then NOW end
from generate_series(1, 25000) n;

insert into attempt (
    app_id, message_id, id, endpoint_id, number, manual, status, status_code, duration_ms, url
)
select case when n <= 20000 then APP else OTHER end, ID,
       ID, ('00000000-0000-7000-8000-' || lpad((n % 20 + 1)::text, 12, '0'))::uuid,
       1, false, n % 2, 200, 1, 'u'
from generate_series(1, 25000) n;

insert into background_task (id, org_id, app_id, kind, status, arguments, created_at, updated_at)
select ID, 'org_' || n % 50, APP, 'endpoint.recover', case n % 500 when 0 then 'running' else 'finished' end,
       '{}', NOW, NOW
from generate_series(1, 25000) n;

insert into idempotency (key, locked_until, expires_at)
select decode(md5(n::text), 'hex'), NOW, NOW from generate_series(1, 25000) n
"""
WORDS = {
    "ID": "(lpad(to_hex(1790000000000 + n * 1000), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid",
    "APP": f"'{APP}'::uuid",
    "OTHER": f"'{OTHER}'::uuid",
    "NOW": "'2026-11-20T00:00:00Z'::timestamptz",
}
LARGE = ("message", "delivery", "attempt", "event_id", "background_task")


class Explaining:
    """A connection that explains each statement in place of running it."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.plans: list[str] = []

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
        await connection.execute(re.sub(r"\b(ID|APP|OTHER|NOW)\b", lambda word: WORDS[word[0]], FILL))
        await connection.execute("analyze")
        yield Explaining(connection)


ENDPOINT = UUID("00000000-0000-7000-8000-000000000003")
SOME_ID = ids.lowest(1_790_000_000 + 9_000)
TARGET = Target(ENDPOINT, APP, 3, False, None, None, None)
DOWN, UP = Page(UUID(int=0), SOME_ID, 51), Page(SOME_ID, UUID(int=(1 << 128) - 1), 51, upwards=True)
NARROW = AttemptFilter(AttemptStatus.FAIL, 500, ENDPOINT)

LOOKS: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "message.get": lambda c: message.get(c, APP, SOME_ID),
    "message.find": lambda c: message.find(c, APP, "m17"),
    "message.expunge": lambda c: message.expunge(c, APP, SOME_ID),
    "message.forget_payloads": lambda c: message.forget_payloads(c, NOW, 100),
    "attempt.get": lambda c: attempt.get(c, APP, SOME_ID, SOME_ID),
    "attempt.expunge": lambda c: attempt.expunge(c, APP, SOME_ID, SOME_ID),
    "delivery.target": lambda c: delivery.target(c, APP, uid="e3"),
    "delivery.resend": lambda c: delivery.resend(c, TARGET, SOME_ID, NOW),
    "delivery.recover": lambda c: queries.delivery_recover(
        c, app_id=APP, endpoint_id=ENDPOINT, after=UUID(int=0), until=SOME_ID, due_at=NOW, now=NOW
    ),
    "delivery.recover_scan": lambda c: delivery.recover(c, TARGET, UUID(int=0), SOME_ID, NOW),
    "delivery.replay_scan": lambda c: delivery.replay(c, TARGET, UUID(int=0), SOME_ID, NOW),
    "delivery.cancel_pending": lambda c: delivery.cancel_pending(c, APP, ENDPOINT, SOME_ID, 1000),
    "delivery.forget_waiting": lambda c: delivery.forget_waiting(c, APP, ENDPOINT, 1000),
    "delivery.release": lambda c: delivery.release(c, APP, ENDPOINT, NOW, 1000, fifo=False),
    "delivery.cancel_message": lambda c: delivery.cancel_message(c, APP, SOME_ID),
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
                c, APP, p, w, with_payload=True
            ),  # type: ignore[misc]
            f"attempt.by_endpoint {some}{way}": lambda c, p=page, w=wanted, k=like: attempt.by_endpoint(  # type: ignore[misc]
                c, APP, ENDPOINT, p, k, w, with_response=True
            ),
            f"attempt.by_message {some}{way}": lambda c, p=page, w=wanted, k=like: attempt.by_message(  # type: ignore[misc]
                c, APP, SOME_ID, p, k, w, with_response=True
            ),
            f"delivery.owed_by_endpoint {some}{way}": lambda c, p=page, w=wanted, s=statuses: (
                delivery.owed_by_endpoint(  # type: ignore[misc]
                    c, APP, ENDPOINT, p, w, statuses=s, with_payload=True
                )
            ),
        }
    LOOKS |= {
        f"delivery.destinations {way}": lambda c, p=page: delivery.destinations(c, APP, SOME_ID, p),  # type: ignore[misc]
        f"background_task.page {way}": lambda c, p=page: background_task.page(c, "org_1", p),  # type: ignore[misc]
    }


async def test_no_look_reads_a_large_table_from_end_to_end(explaining: Explaining) -> None:
    faults = []
    for name, look in LOOKS.items():
        explaining.plans.clear()
        await look(explaining)
        assert explaining.plans, name
        faults += [
            f"{name}:\n{plan}"
            for plan in explaining.plans
            if any(f"Seq Scan on {table}" in plan for table in LARGE)
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
            if "Sort" in plan and "by_message" not in name:
                faults.append(f"{name}:\n{plan}")
    assert not faults, "\n\n".join(faults)
