"""What PostgreSQL says, as the store's errors."""

from __future__ import annotations

import traceback

import asyncpg
import pytest

from angarium.core.errors import StoreReason, StoreUnavailable
from angarium.store.connection import Connection
from angarium.store.database import Database, savepoint
from angarium.store.fault import DatabaseFault, RowRefused, StatementFailed, ValueRefused, breaks, translated

LATER = {
    "08006": StoreReason.UNREACHABLE,
    "25006": StoreReason.READ_ONLY,
    "25P03": StoreReason.UNREACHABLE,
    "40001": StoreReason.CONFLICT,
    "40P01": StoreReason.CONFLICT,
    "53000": StoreReason.OUT_OF_RESOURCES,
    "53100": StoreReason.DISK_FULL,
    "53200": StoreReason.OUT_OF_RESOURCES,
    "53300": StoreReason.TOO_MANY_CONNECTIONS,
    "55P03": StoreReason.LOCKED,
    "57014": StoreReason.TOO_SLOW,
    "57P01": StoreReason.UNREACHABLE,
    "57P03": StoreReason.UNREACHABLE,
    "58030": StoreReason.OUT_OF_RESOURCES,
}
NEVER = {
    "22003": ValueRefused,
    "22021": ValueRefused,
    "23505": RowRefused,
    "23514": RowRefused,
    "P0001": RowRefused,
    "XX000": RowRefused,
    "42501": StatementFailed,
    "42601": StatementFailed,
    "42P01": StatementFailed,
    "3F000": StatementFailed,
}


async def raised(database: Database, state: str) -> Exception:
    with pytest.raises((StoreUnavailable, DatabaseFault)) as caught:
        async with database.connection() as connection:
            await connection.execute(f"do $$ begin raise exception using errcode = '{state}'; end $$")
    return caught.value


@pytest.mark.parametrize(("state", "reason"), LATER.items())
async def test_a_temporary_error_is_unavailable_with_a_reason(
    database: Database, state: str, reason: StoreReason
) -> None:
    error = await raised(database, state)
    assert isinstance(error, StoreUnavailable)
    assert error.reason is reason


@pytest.mark.parametrize(("state", "kind"), NEVER.items())
async def test_a_permanent_error_says_whether_other_rows_may_succeed(
    database: Database, state: str, kind: type[Exception]
) -> None:
    assert type(await raised(database, state)) is kind


async def test_a_value_that_no_column_can_store_is_refused_before_it_is_sent(database: Database) -> None:
    with pytest.raises(ValueRefused):
        async with database.connection() as connection:
            await connection.fetchval("select $1::int2", 40_000)


@pytest.mark.parametrize(
    "statement",
    [
        "insert into event_id (app_id, event_id, message_id) values (gen_random_uuid(), $1, null)",
        "select $1::int2",
        "select $1::text::int2",
    ],
)
async def test_no_value_of_a_refused_row_is_in_the_error_or_its_traceback(
    database: Database, statement: str
) -> None:
    with pytest.raises(RowRefused) as caught:
        async with database.connection() as connection:
            await connection.execute(statement, "a-secret-value")
    assert "a-secret-value" not in "".join(traceback.format_exception(caught.value))


async def test_a_refusal_names_the_constraint(database: Database) -> None:
    with pytest.raises(RowRefused, match="NotNullViolationError 23502 event_id message_id"):
        async with database.connection() as connection:
            await connection.execute(
                "insert into event_id (app_id, event_id, message_id) values (gen_random_uuid(), 'a', null)"
            )


async def test_a_connection_is_kept_after_an_error_of_a_statement(database: Database) -> None:
    async with database.connection() as connection:
        first = await connection.fetchval("select pg_backend_pid()")
    for state in ("23505", "40001", "55P03", "57014"):
        await raised(database, state)
    async with database.connection() as connection:
        assert await connection.fetchval("select pg_backend_pid()") == first
    await raised(database, "25006")
    async with database.connection() as connection:
        assert await connection.fetchval("select pg_backend_pid()") != first, "another host may take writes"


@pytest.mark.parametrize("error", [OSError("gone"), TimeoutError(), asyncpg.InterfaceError("closed")])
def test_a_broken_connection_is_unavailable(error: Exception) -> None:
    assert breaks(error)
    found = translated(error)
    assert isinstance(found, StoreUnavailable)
    assert found.reason is StoreReason.UNREACHABLE


async def test_a_session_that_postgresql_ends_is_unavailable(database: Database) -> None:
    with pytest.raises(StoreUnavailable) as caught:
        async with database.connection() as connection:
            await connection.execute("select pg_terminate_backend(pg_backend_pid())")
    assert caught.value.reason is StoreReason.UNREACHABLE
    async with database.connection() as connection:
        assert await connection.fetchval("select 1") == 1


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (asyncpg.SerializationError("conflict with recovery"), StoreReason.CONFLICT),
        (asyncpg.TooManyConnectionsError("no more"), StoreReason.TOO_MANY_CONNECTIONS),
        (asyncpg.InvalidPasswordError("refused"), StoreReason.UNREACHABLE),
        (OSError("reset"), StoreReason.UNREACHABLE),
        (None, StoreReason.UNREACHABLE),
    ],
)
def test_a_lost_connection_is_unavailable_for_the_reason_that_postgresql_gave(
    cause: Exception | None, reason: StoreReason
) -> None:
    error = asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
    error.__cause__ = cause
    assert breaks(error), "whatever the reason"
    found = translated(error)
    assert isinstance(found, StoreUnavailable)
    assert found.reason is reason


async def fail_alone(connection: Connection, state: str) -> None:
    async with savepoint(connection):
        await connection.execute("insert into kept values (1)")
        await connection.execute(f"do $$ begin raise exception using errcode = '{state}'; end $$")


@pytest.mark.parametrize("state", ["23505", "42P01", "40P01", "55P03"])
async def test_a_savepoint_is_rolled_back_alone(database: Database, state: str) -> None:
    kind = NEVER.get(state, StoreUnavailable)
    async with database.transaction() as connection:
        await connection.execute("create temporary table kept (number integer) on commit drop")
        with pytest.raises(kind):
            await fail_alone(connection, state)
        assert await connection.fetchval("select count(*) from kept") == 0


async def test_a_savepoint_does_not_hide_what_is_wrong_with_the_connection(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute("create temporary table kept (number integer) on commit drop")
        with pytest.raises(asyncpg.PostgresError):
            await fail_alone(connection, "25006")
