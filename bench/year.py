"""Simulates a year at constant load, in virtual time, and shows the size of the database by month.

    python -m bench.year --days 400 --messages 400

On each day, functions of the service accept messages and complete their deliveries, all other tables get
rows, and expired data is deleted, as the service does each minute. Then VACUUM runs, as autovacuum would.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

import structlog

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.alert import AlertKind, Audience, DigestWindow, Notice, Recipient
from angarium.core.failure import kind_of
from angarium.core.health import Health
from angarium.core.hourly_stats import HourlyStats
from angarium.core.inbox import InboxAnswer, InboxRequest, PlayInbox
from angarium.core.lifecycle import Move
from angarium.core.nouns import Application, Endpoint
from angarium.core.outcome import AttemptResult
from angarium.dispatch.maintenance import Maintenance
from angarium.store import (
    accept,
    alert,
    application,
    complete,
    hourly_stats,
    our_fault,
    partition,
    play,
    usage,
)
from angarium.store.accept import Item, NewDelivery
from angarium.store.complete import Completion, HealthRecord
from angarium.store.connection import Connection
from angarium.store.database import Database
from angarium.store.our_fault import FaultRow, HeldLane
from angarium.store.retention import Retention
from bench.service import installation
from bench.table import Table, number
from tests.kit.clock import ManualClock
from tests.kit.schemas import SCHEMAS
from tests.kit.world import ORG, World

DAY: Final = 86400.0
BEGIN: Final = datetime(2027, 1, 1, 6, tzinfo=UTC)
BODY: Final = 1000  # bytes of a payload
BATCH: Final = 40  # messages accepted in one statement: so few that it writes all their deliveries
BROKEN: Final = 20  # one message in so many is never delivered
MONTH: Final = 30  # days of a row of the table
_HEADERS: Final = (("content-type", "application/json"), ("webhook-id", "msg_1"), ("user-agent", "Angarium"))
_OK: Final = AttemptResult(200, None, None, b"ok", 12, headers=_HEADERS)
_REFUSED: Final = AttemptResult(
    500, kind_of("http_500"), "The receiver answered 500.", b"no", 12, headers=_HEADERS
)

_SIZES: Final = """
select coalesce(parent.relname, c.relname) as name, sum(pg_total_relation_size(c.oid))::bigint as bytes,
       count(*)::integer as partitions
from pg_class c
left join pg_inherits i on i.inhrelid = c.oid
left join pg_class parent on parent.oid = i.inhparent
where c.relkind = 'r' and c.relnamespace::regnamespace::text = any($1)
group by 1 order by 1
"""

# rows of the smaller tables, as a day of an operator with little else to do leaves them
_DAILY: Final = (
    "insert into audit (org_id, id, app_id, actor, action)"
    " select $1::text, new_id($3), $2::uuid, 'system', 'a.b' from generate_series(1, 5)",
    "insert into background_task"
    " (id, org_id, app_id, kind, status, error, arguments, created_at, updated_at)"
    " select new_id($3), $1::text, $2::uuid, 'delivery.resend', one,"
    " case when one = 'failed' then 'internal' end, '{}', $3, $3"
    " from unnest(array['finished', 'failed', 'canceled']) one",
    "insert into revoked_token (digest, expires_at)"
    " select uuid_send(gen_random_uuid()), $3::timestamptz + interval '7 days'"
    " where $1::text <> $2::uuid::text",
    "insert into organization_token (org_id, digest, first_used_at, last_used_at, expires_at)"
    " select $1::text, uuid_send(gen_random_uuid()), $3, $3, $3::timestamptz + interval '7 days'"
    " where $2::uuid is not null",
    "insert into api_key (id, org_id, app_id, scope, name, lookup, created_at, revoked_at)"
    " select new_id($3), $1::text, $2::uuid, 'a', 'a', uuid_send(gen_random_uuid()), $3, $3",
    "insert into angarium.idempotency (key, status, body, locked_until, expires_at)"
    " select uuid_send(gen_random_uuid()), 200, '{}', $3, $3::timestamptz + interval '12 hours'"
    " where $1::text <> $2::uuid::text",
)


@dataclass(frozen=True)
class Size:
    """One table at the end of a day."""

    bytes: int
    rows: int
    partitions: int  # 1 when it has none


class Year:
    """A small installation, a day at a time."""

    def __init__(self, database: Database, messages: int, retention: Retention) -> None:
        self.clock = ManualClock(BEGIN.timestamp())
        self._database = database
        self._messages = messages
        self._world = World(database, clock=self.clock)
        self._maintenance = Maintenance(database, self.clock, lambda: True, retention)
        self._retention = retention

    async def days(self, count: int) -> AsyncIterator[dict[str, Size]]:
        """The tables by name, after each of so many days."""
        async with self._database.connection() as connection:  # what migrating made for the real days
            await partition.drop(connection, datetime(2100, 1, 1, tzinfo=UTC), timedelta(0), 1000)
        self._app = await self._world.application()
        self._endpoints = [await self._world.endpoint(self._app, f"http://127.0.0.1:{n}/") for n in (1, 2)]
        for day in range(1, count + 1):
            await self._work()
            await self.clock.advance_to(BEGIN.timestamp() + day * DAY)
            await self._maintenance.delete()
            yield await self._sizes()

    async def _work(self) -> None:
        now = self.clock.now()
        async with self._database.connection() as connection:
            await self._send(connection, now)
            await self._come_and_go(connection, now)
            for statement in _DAILY:
                await connection.execute(statement, ORG, self._app.id, datetime_at(now))

    async def _send(self, connection: Connection, now: float) -> None:
        """A day's messages. Some of those to the second endpoint fail, and some of these are never attempted
        again."""
        items = [self._item(now, n) for n in range(self._messages)]
        new_deliveries: list[NewDelivery] = []
        for first in range(0, len(items), BATCH):
            _, made = await accept.accept(connection, items[first : first + BATCH], now)
            new_deliveries += made
        counted = HourlyStats()
        outcomes = []
        for n, one in enumerate(new_deliveries):
            if n % (10 * BROKEN) == 1:
                continue  # it is never attempted
            fails = n % BROKEN == 1
            outcomes.append(self._outcome(one.endpoint_id, one.message_id, now, fails=fails))
            counted.note(self._app.id, one.endpoint_id, now, 12, "http_500" if fails else None)
        await complete.complete(connection, outcomes, [])
        waiting = [one for one in outcomes if one.move is Move.RETRY]
        await complete.complete(
            connection,
            [
                self._outcome(one.endpoint_id, one.message_id, now, fails=True, again=True)
                for n, one in enumerate(waiting)
                if n % 5
            ],
            [],
        )
        await hourly_stats.add(connection, counted.take())
        await usage.fold(connection, 2 * len(items))

    def _item(self, now: float, n: int) -> Item:
        made = ids.new(now + n / 1000, os.urandom(8))
        kept = (DAY, 7 * DAY, 90 * DAY)[n % 3]
        return Item(
            id=made, org_id=ORG, app=ids.text(ids.APPLICATION, self._app.id), event_type="order.filled",
            payload=os.urandom(BODY // 2).hex().encode(), event_id=f"event-{made.hex}" if n % 2 else None,
            channels=(), tags=(), key=made.bytes if n % 2 else None, endpoint_id=None, due_at=now,
            expires_at=datetime_at(now + min(kept, self._retention.history.total_seconds()) + 3600),
        )  # fmt: skip

    def _outcome(
        self, endpoint_id: UUID, message_id: UUID, now: float, *, fails: bool, again: bool = False
    ) -> Completion:
        move = Move.DELIVER if not fails else Move.EXHAUST if again else Move.RETRY
        return Completion(
            attempt_id=ids.new(now + again, os.urandom(8)), app_id=self._app.id, endpoint_id=endpoint_id,
            message_id=message_id, move=move, failures=int(again), number=1 + again,
            due_at=now + DAY if move is Move.RETRY else None, manual_at=None,
            answer=_REFUSED if fails else _OK, succeeded=not fails, revision=1, sent=_HEADERS,
            pending=not again,
        )  # fmt: skip

    async def _come_and_go(self, connection: Connection, now: float) -> None:
        """An endpoint and an application that are deleted the same day, what belongs to them, and a process
        that is killed during a fault."""
        at = datetime_at(now)
        gone = await self._world.application()
        left = [await self._world.endpoint(app, "http://127.0.0.1:9/") for app in (self._app, gone)]
        sick = [HealthRecord(one.app_id, one.id, Health(now, 1)) for one in left]
        await complete.complete(connection, [], sick)
        for one in left:
            await connection.execute("insert into listener values ($1, $2, $3)", one.app_id, one.id, at)
            await connection.execute("insert into former_url values ($1, 1, 'http://a/', $2)", one.id, at)
        await application.take_from_counter(connection, gone.id, "credits", 100, 1)
        await connection.execute("insert into token_cutoff values ($1, '', $2, $2)", gone.id, at)
        inbox = PlayInbox(self._world.new_id(), ORG, self._app.id, InboxAnswer(), at + timedelta(days=7))
        await play.create(connection, inbox)
        request = InboxRequest(self._world.new_id(), "POST", [], b"{}", 2, 200, None, "")
        await play.put(connection, inbox.id, request, kept=10)
        told = Audience((Recipient.MAIL,))
        await alert.add(connection, [Notice(gone.id, left[1].id, AlertKind.FAILING, 1, None)], told, now)
        recipient = self._world.new_id()
        await alert.open_window(connection, recipient, DigestWindow(1, now))
        await alert.write(connection, self._world.new_id(), recipient, alert.DIGEST, now)
        process = f"killed-{now}"
        await our_fault.note(connection, process, [FaultRow(process, "internal", now, 1)], now)
        await our_fault.hold(connection, process, [HeldLane(left[0].id, "internal", now)])
        await self._delete(connection, gone, left[0], at)

    async def _delete(
        self, connection: Connection, app: Application, endpoint: Endpoint, at: datetime
    ) -> None:
        await application.delete(connection, app, at)
        await connection.execute("update endpoint set deleted_at = $2 where id = $1", endpoint.id, at)

    async def _sizes(self) -> dict[str, Size]:
        async with self._database.connection() as connection:
            found = await connection.fetch(_SIZES, SCHEMAS)
            sizes = {}
            for name, size, partitions in found:
                await connection.execute(f'vacuum "{name}"')
                rows = await connection.fetchval(f'select count(*) from "{name}"')
                sizes[name] = Size(size, rows, partitions)
            return sizes


def table(days: Sequence[dict[str, Size]], messages: int, retention: Retention) -> Table:
    """A row for each month."""
    made = Table(
        f"A year of {messages} messages a day, history kept for {retention.history.days} days",
        ("day", "database, MB", "messages", "attempts", "payloads", "queued", "other rows", "partitions"),
        f"Two endpoints a message, {BODY} bytes; payloads kept for 1, 7 and 90 days, a third each.",
    )
    history = ("message", "attempt", "payload")
    queue = ("pending", "retry")
    for day in sorted({*range(MONTH, len(days) + 1, MONTH), len(days)}):
        sizes = days[day - 1]
        others = sum(one.rows for name, one in sizes.items() if name not in (*history, *queue))
        made.add(
            str(day),
            f"{sum(one.bytes for one in sizes.values()) / 1e6:,.1f}",
            *(number(sizes[name].rows) for name in history),
            number(sum(sizes[name].rows for name in queue)),
            number(others),
            number(sum(sizes[name].partitions for name in history)),
        )
    return made


async def run(days: int, messages: int, retention: Retention) -> Table:
    """The table for so many days."""
    with tempfile.TemporaryDirectory(prefix="angarium-year-") as directory:
        async with installation(Path(directory), durable=False) as made:
            database = await Database.connect(made.postgres.url())
            try:
                year = Year(database, messages, retention)
                return table([one async for one in year.days(days)], messages, retention)
            finally:
                await database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=400)
    parser.add_argument("--messages", type=int, default=400, help="a day")
    parser.add_argument("--history", type=int, default=90, help="days")
    asked = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    retention = Retention(history=timedelta(days=asked.history))
    made = asyncio.run(run(asked.days, asked.messages, retention))
    made.show()
    print(made.markdown())


if __name__ == "__main__":
    main()
