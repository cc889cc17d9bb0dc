"""Plans of statements for values that are not known, as PostgreSQL keeps them for a prepared statement."""

from __future__ import annotations

from typing import Any

from angarium.store.connection import Connection

_PARAMETERS = "select cardinality(parameter_types) from pg_prepared_statements where name = 'explained'"


async def generic_plan(connection: Connection, sql: str, options: str = "") -> list[str]:
    """The lines of the generic plan. `explain (generic_plan)` does the same, but not in PostgreSQL 15."""
    async with connection.transaction():
        await connection.execute("set local plan_cache_mode = force_generic_plan")
        await connection.execute(f"prepare explained as {sql}")
        values = ", ".join(["null"] * await connection.fetchval(_PARAMETERS))
        rows = await connection.fetch(f"explain {options} execute explained{values and f'({values})'}")
        await connection.execute("deallocate explained")
        await connection.execute("set local plan_cache_mode = auto")
    return [row[0] for row in rows]


def literal(value: Any) -> str:
    """A value as it stands in a statement, to execute a prepared one with."""
    if value is None:
        return "null"
    if isinstance(value, list | tuple | set | frozenset):
        return _quoted("{" + ",".join(map(_element, value)) + "}")
    return _quoted(_text(value))


def _element(value: Any) -> str:
    if value is None:
        return "null"
    return '"' + _text(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _text(value: Any) -> str:
    return f"\\x{value.hex()}" if isinstance(value, bytes) else str(value)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
