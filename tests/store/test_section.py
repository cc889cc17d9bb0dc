"""Every statement names where its tables are, and they are all in one place."""

from __future__ import annotations

import re
from typing import Final

import asyncpg
import pytest

from angarium.store.connection import Connector
from angarium.store.section import CONTROL, FIRST, Section
from angarium.store.sql import queries
from tests.kit.schemas import SCHEMAS

PLACE: Final = re.compile(r"\b(section|control)\.")
STATEMENTS: Final = {name: getattr(queries, name).sql for name in queries.available_queries}
NAMES: Final = sorted(name for name, text in STATEMENTS.items() if text)


def test_section_and_control_are_replaced_by_names_of_schemas() -> None:
    text = "select s.a from section.thing s join control.other o on o.section = s.id and bisection.a = 1"
    assert Section("second").statement(text) == (
        "select s.a from second.thing s join angarium.other o on o.section = s.id and bisection.a = 1"
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_statement_is_on_a_section_or_on_the_control_schema(name: str) -> None:
    """Another section may be on another server, where no statement reaches both."""
    text = re.sub(r"--.*", "", STATEMENTS[name])
    assert len(set(PLACE.findall(text))) <= 1


async def test_every_statement_finds_its_tables_by_the_names_of_their_schemas(database_url: str) -> None:
    connection = await Connector(database_url, statement_timeout=None)()
    try:
        await connection.execute("set search_path = ''")
        wrong = {}
        for name in NAMES:
            try:
                await connection.prepare(FIRST.statement(STATEMENTS[name]))
            except (asyncpg.UndefinedTableError, asyncpg.UndefinedFunctionError) as error:
                wrong[name] = str(error)
        assert wrong == {}
        with pytest.raises(asyncpg.UndefinedTableError):
            await connection.prepare("select from pending")
    finally:
        await connection.close()


async def test_two_sections_can_be_in_one_database(empty_database_url: str) -> None:
    """The files of the schema name no section, so that another one takes nothing but its name."""
    from angarium.store.migrate import migrate
    from angarium.store.migration import MIGRATIONS

    await migrate(empty_database_url)
    connection = await Connector(empty_database_url, statement_timeout=None)()
    try:
        second = Section("angarium_2")
        await connection.execute("set search_path = ''")
        await connection.execute(f"create schema {second.schema}")
        for file in sorted(MIGRATIONS.glob("*_section.sql")):
            await connection.execute(second.named(file.read_text()))
        connection.section = second
        assert await queries.partition_add(
            connection,
            parent="message",
            name="message_x",
            low=str(ID[0]),
            high=str(ID[1]),
        )
        for name in NAMES:
            await connection.prepare(second.statement(STATEMENTS[name]))
        tables = {schema: await _tables(connection, schema) for schema in (*SCHEMAS, second.schema)}
        assert tables[FIRST.schema] - {"migration"} == tables[second.schema] - {"message_x"}
        assert tables[CONTROL].isdisjoint({"pending", "retry", "message", "endpoint", "application"})
    finally:
        await connection.close()


ID: Final = ("00000000-0000-7000-8000-000000000000", "00000000-0001-7000-8000-000000000000")


async def _tables(connection: asyncpg.Connection, schema: str) -> set[str]:
    rows = await connection.fetch(
        "select c.relname from pg_class c where c.relkind in ('r', 'p')"
        " and c.relnamespace = cast($1 as text)::regnamespace"
        " and not (c.relispartition and c.relname ~ '_[0-9]{8}$')",
        schema,
    )
    return {row["relname"] for row in rows}
