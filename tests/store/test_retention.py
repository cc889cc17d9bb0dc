"""What ends the rows of each table: the old ones go, a slice at a time, and those beside them stay."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, cast
from uuid import UUID

import pytest

from angarium.core import ids
from angarium.settings import Settings
from angarium.store import api_key, partition
from angarium.store.connection import Connection
from angarium.store.database import Database
from angarium.store.retention import LANES, QUEUE, RULES, LaneRule, Position, Retention, Rule
from angarium.store.section import CONTROL
from angarium.store.shard import shard_of
from bench.year import Year
from tests.kit.explained import Explained
from tests.kit.rows import add_endpoint, add_message
from tests.kit.schemas import SCHEMAS

OPERATING: Final = Path(__file__).parents[2] / "docs/operating.md"
NOW: Final = datetime(2027, 6, 15, 12, tzinfo=UTC)
APP, ENDPOINT = UUID(int=1), UUID(int=2)
KEPT: Final = Retention(
    history=timedelta(days=10),
    audit=timedelta(days=20),
    statistics=timedelta(days=30),
    tasks=timedelta(days=5),
    usage=timedelta(days=40),
)
RULE: Final[dict[str, Rule | LaneRule]] = {rule.table: rule for rule in (*QUEUE, *LANES, *RULES)}
CANCELED: Final = 4

# a row at a time $1, with an id $2 that was made at $1
ROWS: Final = {
    "fan_out": (
        "insert into fan_out (message_id, app_id, seq, due_at) values ($2, gen_random_uuid(), 1, $1)",
        10,
    ),
    "event_id": ("insert into event_id values (gen_random_uuid(), $1::timestamptz::text, $2)", 10.5),
    "idempotency": (
        "insert into idempotency (key, message_id, app_id, expires_at)"
        " values (uuid_send($2::uuid), $2, $2, $1)",
        0,
    ),
    "control.idempotency": (
        "insert into angarium.idempotency (key, locked_until, expires_at)"
        " values (uuid_send($2::uuid), $1, $1)",
        0,
    ),
    "attempt_hour": ("insert into attempt_hour values (gen_random_uuid(), $2, $1, 1, 0, '{}')", 30),
    "usage": ("insert into usage (org_id, month, app_id) values ('a', $1, $2)", 40),
    "background_task": (
        "insert into background_task (id, org_id, kind, status, arguments, created_at, updated_at)"
        " values ($2, 'a', 'a', 'finished', '{}', $1, $1)",
        5,
    ),
    "audit": (
        "insert into audit (org_id, id, actor, action) select 'a', $2, 'a', $1::timestamptz::text",
        20,
    ),
    "control.audit": (
        "insert into angarium.audit (org_id, id, actor, action) select 'a', $2, 'a', $1::timestamptz::text",
        20,
    ),
    "revoked_token": ("insert into revoked_token values (uuid_send($2::uuid), $1)", 0),
    "organization_token": ("insert into organization_token values ('a', uuid_send($2::uuid), $1, $1, $1)", 0),
    "token_cutoff": ("insert into token_cutoff values ($2, 'a', $1, $1)", 3650),
    "api_key": (
        "insert into api_key (id, org_id, scope, name, lookup, created_at, revoked_at)"
        " values ($2, 'a', 'a', 'a', uuid_send($2::uuid), $1, $1)",
        20,
    ),
    "play_inbox": ("insert into play_inbox (id, org_id, app_id, expires_at) values ($2, 'a', $2, $1)", 0),
    "play_request": (
        "with inbox as (insert into play_inbox (id, org_id, app_id, expires_at)"
        " values ($2, 'a', $2, '2040-01-01') on conflict do nothing)"
        " insert into play_request select $2, $2, $1::timestamptz::text, '[]', '', 0, 200, null, ''",
        1,
    ),
    "fault": ("insert into fault values ($2::uuid::text, 'a', $1, $1, 1)", 1 / 24),
    "notice": (
        "insert into notice (recipient_id, endpoint_id, kind, app_id, count, first_at, last_at)"
        " values ($2, $2, 'endpoint.failing', $2, 1, $1, $1)",
        7,
    ),
    "digest": ("insert into digest values ($2, 1, $1)", 2),
    "mail": (
        "insert into mail (id, recipient_id, kind, created_at) values ($2, $2, 'digest', $1)",
        2,
    ),
    "former_url": ("insert into former_url values ($2, 1, 'http://a/', $1)", 11.5),
    "endpoint": (
        "insert into endpoint (app_id, id, org_id, url, keys, shard, created_at, updated_at, deleted_at)"
        " values ($2, $2, 'a', 'http://a/', '', 1, $1, $1, $1)",
        10.5,
    ),
    "application": (
        "insert into application (id, org_id, name, created_at, updated_at, deleted_at)"
        " values ($2, 'a', 'a', $1, $1, $1)",
        10.5,
    ),
}


async def end(connection: Connection, rule: Rule | LaneRule, limit: int = 2) -> list[int]:
    """The slices in which the rows of a table go, the last one with fewer than `limit`."""
    if isinstance(rule, LaneRule):
        return await end_in_lanes(connection, rule, limit)
    slices = [await rule.end(connection, KEPT, NOW, limit)]
    while slices[-1] == limit:
        slices.append(await rule.end(connection, KEPT, NOW, limit))
    return slices


async def end_in_lanes(
    connection: Connection, rule: LaneRule, limit: int = 2, lanes: int = 1000
) -> list[int]:
    position: Position | None = Position()
    slices = []
    while position is not None:
        ended, position = await rule.end(connection, KEPT, NOW, position, limit, lanes)
        slices.append(ended)
    return slices


async def test_the_documentation_says_for_each_table_what_ends_its_rows(database: Database) -> None:
    _, _, section = OPERATING.read_text().partition("## What ends, and when")
    lines = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("| `")]
    named = [name for line in lines for name in re.findall(r"`(\w+)`", line.split("|")[1])]
    async with database.connection() as connection:
        tables = await connection.fetch(
            "select relname from pg_class where relkind in ('r', 'p') and not relispartition"
            " and relnamespace::regnamespace::text = any($1)",
            SCHEMAS,
        )
    assert sorted(named) == sorted({row[0] for row in tables})
    settings = set(re.findall(r"ANGARIUM_\w+", "".join(lines)))
    assert settings == {
        f"ANGARIUM_{name.upper()}" for name in Settings.model_fields if name.endswith("history")
    }


async def test_a_database_under_constant_load_stops_growing(database: Database) -> None:
    """Forty days with ten of history. What is left at the end is what was there after half of them."""
    kept = Retention(
        history=timedelta(days=10),
        audit=timedelta(days=10),
        statistics=timedelta(days=10),
        tasks=timedelta(days=10),
    )
    days = [day async for day in Year(database, 40, kept).days(40)]
    ended = {name.removeprefix("control.") for name in RULE}
    grown = {name for name, size in days[-1].items() if size.rows}
    within_the_day = {"idempotency", "fault", "fan_out"}
    assert grown >= {*ended, "message", "attempt", "payload"} - within_the_day
    # kept as long as any token may live; one row for each application and month, for years
    for name in days[-1].keys() - {"token_cutoff", "usage"}:
        for what in ("rows", "partitions"):
            half, end = (max(getattr(day[name], what) for day in days[n : n + 5]) for n in (20, 35))
            assert half == end, (name, what)


def test_every_rule_is_tested() -> None:
    assert {*ROWS, "pending", "retry"} == RULE.keys()


@pytest.mark.parametrize("name", ROWS)
async def test_old_rows_are_deleted_in_slices_and_others_stay(database: Database, name: str) -> None:
    statement, days = ROWS[name]
    border = NOW - timedelta(days=days)
    async with database.connection() as connection:
        for hours in (-3, -2, -1, 1, 2):
            at = border + timedelta(hours=hours)
            await connection.execute(statement, at, ids.new(at.timestamp(), os.urandom(8)))
        assert await end(connection, RULE[name]) == [2, 1]
        table = name.replace("control", CONTROL)
        left = await connection.fetchval(f"select count(*) from {table}")
    assert left == 2


async def test_rows_that_are_still_needed_are_not_deleted(database: Database) -> None:
    old = NOW - timedelta(days=4000)
    async with database.connection() as connection:
        for statement in (
            "insert into background_task (id, org_id, kind, status, arguments, created_at, updated_at)"
            " values ($2, 'a', 'a', 'running', '{}', $1, $1)",
            "insert into organization_token select 'a', uuid_send($2::uuid), $1, $1, null",
            "insert into api_key (id, org_id, scope, name, lookup, created_at)"
            " values ($2, 'a', 'a', 'a', uuid_send($2::uuid), $1)",
            "insert into application (id, org_id, name, created_at, updated_at)"
            " values ($2, 'a', 'a', $1, $1)",
            "insert into endpoint (app_id, id, org_id, url, keys, shard, created_at, updated_at)"
            " values ($2, $2, 'a', 'http://a/', '', 1, $1, $1)",
        ):
            await connection.execute(statement, old, ids.new(0, os.urandom(8)))
        for rule in RULE.values():
            assert await end(connection, rule) == [0], rule.table


async def test_a_deleted_endpoint_is_removed_with_its_health_former_urls_and_listener(
    database: Database,
) -> None:
    other = UUID(int=3)
    async with database.connection() as connection:
        for endpoint_id in (ENDPOINT, other):
            await add_endpoint(connection, APP, endpoint_id)
            await connection.execute("insert into endpoint_health values ($1, $2)", APP, endpoint_id)
            await connection.execute("insert into listener values ($1, $2, $3)", APP, endpoint_id, NOW)
            await connection.execute(
                "insert into former_url values ($1, 1, 'http://a/', $2)", endpoint_id, NOW
            )
        await connection.execute(
            "update endpoint set deleted_at = $2 where id = $1", ENDPOINT, NOW - timedelta(days=11)
        )
        assert await end(connection, RULE["endpoint"]) == [1]
        for table in ("endpoint", "endpoint_health", "former_url", "listener"):
            rows = await connection.fetch(f'select * from "{table}"')
            assert [row.get("endpoint_id", row.get("id")) for row in rows] == [other], table


async def test_a_deleted_application_is_removed_with_all_its_rows(database: Database) -> None:
    gone, kept = UUID(int=7), UUID(int=8)
    async with database.connection() as connection:
        for n, app in enumerate((gone, kept)):
            deleted_at = NOW - timedelta(days=11) if app == gone else None
            await connection.execute(
                "insert into application values ($1, 'a', null, 'a', null, '{}', $2, $2, $3)",
                app,
                NOW,
                deleted_at,
            )
            for endpoint_id in (UUID(int=10 + n), UUID(int=20 + n), UUID(int=30 + n)):
                await add_endpoint(connection, app, endpoint_id)
            await connection.execute(
                "insert into api_key (id, org_id, app_id, scope, name, lookup, created_at)"
                " values ($1, 'a', $1, 'a', 'a', uuid_send($1::uuid), $2)",
                app,
                NOW,
            )
            await connection.execute("insert into sandbox_counter values ($1, 'credits', 1)", app)
            await connection.execute("insert into token_cutoff values ($1, '', $2, $2)", app, NOW)
        assert await end(connection, RULE["application"]) == [0], "it has endpoints"
        assert await end(connection, RULE["endpoint"]) == [2, 1]
        assert await end(connection, RULE["application"]) == [1]
        for table, column in {
            "application": "id", "endpoint": "app_id", "api_key": "app_id", "sandbox_counter": "app_id",
            "token_cutoff": "app_id",
        }.items():  # fmt: skip
            found = await connection.fetch(f'select distinct {column} from "{table}"')
            assert [row[0] for row in found] == [kept], table


async def test_an_api_key_of_a_deleted_application_is_invalid(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute(
            "insert into api_key (id, org_id, app_id, scope, name, lookup, created_at)"
            " values ($1, 'a', $1, 'a', 'a', 'abc', $2)",
            APP,
            NOW,
        )
        assert await api_key.find(connection, b"abc") is None


async def queue(connection: Connection, age: timedelta, *, message: bool = True) -> list[UUID]:
    """Queued deliveries of messages of an age: never attempted, failed, by hand, waiting for the endpoint."""
    at = NOW - age
    made = [ids.new(at.timestamp(), os.urandom(8)) for _ in range(4)]
    shard = shard_of(ENDPOINT)
    for one in made if message else ():
        await add_message(connection, APP, one, expires_at=NOW + timedelta(days=1))
    await connection.execute(
        "insert into pending (shard, endpoint_id, message_id, app_id, due_at) values ($1, $2, $3, $4, $5)",
        shard, ENDPOINT, made[0], APP, at,
    )  # fmt: skip
    for one, state, failures, due_at, manual_at in (
        (made[1], 1, 3, at, None),
        (made[2], 2, 5, NOW, NOW),
        (made[3], 0, 0, None, NOW),
    ):
        await connection.execute(
            "insert into retry (shard, endpoint_id, message_id, app_id, state, failures, attempts, due_at,"
            " manual_at) values ($1, $2, $3, $4, $5, $6, $6, $7, $8)",
            shard, ENDPOINT, one, APP, state, failures, due_at, manual_at,
        )  # fmt: skip
    return made


async def test_queued_deliveries_older_than_the_history_are_canceled_and_recorded(database: Database) -> None:
    async with database.connection() as connection:
        old = await queue(connection, timedelta(days=10, hours=12, minutes=1))  # before the oldest day
        new = await queue(connection, timedelta(days=10, hours=11, minutes=59))
        assert await end(connection, RULE["pending"], 1) == [1, 0]
        assert await end(connection, RULE["retry"]) == [2, 1]
        queued = await connection.fetch(
            "select message_id from pending union all select message_id from retry"
        )
        assert {row[0] for row in queued} == set(new)
        rows = await connection.fetch("select message_id, state, failures from attempt where final")
        # what was delivered or given up before it was wanted by hand is over as it was
        assert {row[0]: tuple(row)[1:] for row in rows} == {
            old[0]: (CANCELED, 0), old[1]: (CANCELED, 3), old[2]: (2, 5), old[3]: (0, 0),
        }  # fmt: skip
        for days, kept in ((0, {*new}), (1, set[UUID]())):  # a day is kept as a whole
            await partition.drop(connection, NOW + timedelta(days=days), KEPT.history, 1000)
            left = await connection.fetch("select id from message")
            assert {row[0] for row in left} == kept


async def test_queued_deliveries_without_a_message_end_without_a_record(database: Database) -> None:
    async with database.connection() as connection:
        await queue(connection, timedelta(days=400), message=False)
        assert await end(connection, RULE["pending"]) == [1]
        assert await end(connection, RULE["retry"]) == [2, 1]
        assert await connection.fetchval("select count(*) from attempt") == 0


async def test_a_delivery_that_is_being_attempted_is_skipped(database: Database) -> None:
    async with database.connection() as connection, database.transaction() as other:
        old = await queue(connection, timedelta(days=11))
        await other.execute("select from retry where message_id = $1 for update", old[1])
        await other.execute("select from pending where message_id = $1 for update", old[0])
        assert await end(connection, RULE["pending"]) == [0]
        assert await end(connection, RULE["retry"], 10) == [2]


async def lanes(connection: Connection, count: int, messages: int = 1) -> None:
    """Endpoints with old deliveries in both tables of the queue, in all shards."""
    for table, columns in (("pending", ""), ("retry", ", state")):
        await connection.execute(
            f"insert into {table} (shard, endpoint_id, message_id, app_id, due_at{columns})"
            " select n % 64, lpad(to_hex(n), 32, '0')::uuid, lpad(to_hex(m), 32, '0')::uuid, $1, $2"
            f"{columns and ', 1'}"
            " from generate_series(1, $3::integer) n, generate_series(1, $4::integer) m",
            APP, NOW, count, messages,
        )  # fmt: skip
        await connection.execute(f"analyze {table}")


@pytest.mark.parametrize("table", ["pending", "retry"])
@pytest.mark.parametrize(("limit", "stride"), [(1, 1), (2, 1), (5, 2), (7, 100), (1000, 3), (1000, 100)])
async def test_every_lane_is_read_with_any_size_of_slices(
    database: Database, table: str, limit: int, stride: int
) -> None:
    async with database.connection() as connection:
        await lanes(connection, 70, messages=3)
        rule = RULE[table]
        assert isinstance(rule, LaneRule)
        slices = await end_in_lanes(connection, rule, limit, stride)
        assert sum(slices) == 70 * 3
        assert max(slices) <= limit
        assert await connection.fetchval(f"select count(*) from {table}") == 0


@pytest.mark.parametrize("table", ["pending", "retry"])
async def test_one_statement_reads_a_bounded_number_of_lanes(database: Database, table: str) -> None:
    rule = RULE[table]
    assert isinstance(rule, LaneRule)
    async with database.connection() as connection:
        read = []
        for count in (100, 10_000):
            await connection.execute("truncate pending, retry")
            await lanes(connection, count)
            explained = Explained(connection)
            await rule.end(cast(Connection, explained), KEPT, NOW, Position(), 20, 20)
            read.append(explained.pages)
        assert read[1] < 2 * read[0]
