"""Loads the named queries of `queries/*.sql`, once.

Besides aiosql's `-- name:`, a file may contain lines of Angarium's own:

    -- part: NAME       starts a piece of a query, up to the next heading
    -- include: NAME    is replaced by the part of that name, from earlier in the file or from part.sql
    -- include: NAME a=x b=y    the same, with x and y in place of {a} and {b}
    -- walk: NAME       starts a query with `order by id desc`, named NAME_down; without `desc` it is NAME_up

A statement runs on the section of its connection (store/section.py).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from textwrap import indent
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import aiosql
from aiosql.adapters.asyncpg import AsyncPGAdapter
from aiosql.query_loader import QueryLoader

if TYPE_CHECKING:
    from angarium.store.connection import Connection, Row  # which imports this module

T = TypeVar("T")


class _OnConnection(AsyncPGAdapter):
    """aiosql's adapter, which here inserts the names of schemas. It does not check whether it got a pool,
    which would cost more than the call."""

    def _call(self, conn: Connection, query_name: str, sql: str, parameters: Any) -> tuple[Any, ...]:
        ordered = self.maybe_order_params(query_name, parameters)  # type: ignore[no-untyped-call]
        return (conn.section.statement(sql), *ordered)

    async def select(
        self, conn: Connection, query_name: str, sql: str, parameters: Any, record_class: Any = None
    ) -> AsyncIterator[Row]:
        for row in await conn.fetch(*self._call(conn, query_name, sql, parameters)):
            yield row

    async def select_one(
        self, conn: Connection, query_name: str, sql: str, parameters: Any, record_class: Any = None
    ) -> Any:
        return await conn.fetchrow(*self._call(conn, query_name, sql, parameters))

    async def select_value(self, conn: Connection, query_name: str, sql: str, parameters: Any) -> Any:
        return await conn.fetchval(*self._call(conn, query_name, sql, parameters))

    async def insert_update_delete(self, conn: Connection, query_name: str, sql: str, parameters: Any) -> Any:
        return await conn.execute(*self._call(conn, query_name, sql, parameters))


class _Loader(QueryLoader):
    """aiosql's loader, for text without comments of several lines. Looking for those takes a sixth of a
    second of every start."""

    def load_query_data_from_sql(self, sql: str, ns_parts: list[str], fname: Path | str = "queries") -> Any:
        _nothing, *named = _NAME.split(sql)
        return [self._make_query_datum(query, ns_parts, (fname, 0)) for query in named]


_adapter: Any = _OnConnection
_NAME = re.compile(r"^-- name: ", re.MULTILINE)
_HEADING = re.compile(r"^(?=-- (?:name|part|walk): )", re.MULTILINE)
_PART = re.compile(r"-- part: (\w+)\n")
_INCLUDE = re.compile(r"^( *)-- include: (\w+)(.*)$", re.MULTILINE)
_VALUE = re.compile(r" (\w+)=(.*?)(?= \w+=|$)")
_WALK = re.compile(r"-- walk: (\w+)")


def expanded(text: str, shared: Mapping[str, str] = MappingProxyType({})) -> str:
    """The text of a file with parts included and walks written out, as aiosql reads it."""
    return "".join(_split(text, shared)[1])


def parts_of(text: str, shared: Mapping[str, str] = MappingProxyType({})) -> dict[str, str]:
    """The parts of a file by name, with those that it shares."""
    return _split(text, shared)[0]


def _split(text: str, shared: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    parts = dict(shared)
    queries = []
    _what_it_is_for, *blocks = _HEADING.split(text)
    for block in blocks:
        whole = _INCLUDE.sub(lambda found: included(parts, *found.groups()), block)
        if part := _PART.match(whole):
            parts[part[1]] = whole[part.end() :].rstrip()
        elif _WALK.match(whole):
            queries.append(_WALK.sub(r"-- name: \1_down", whole))
            queries.append(_WALK.sub(r"-- name: \1_up", re.sub(r" desc\b", "", whole)))
        else:
            queries.append(whole)
    return parts, queries


def included(parts: Mapping[str, str], margin: str, name: str, values: str) -> str:
    """The text for an include line with this margin. `values`: ` a=x b=y`, or empty."""
    text = parts[name]
    for key, value in _VALUE.findall(values):
        text = text.replace(f"{{{key}}}", value)
    return indent(text, margin)


def _loaded() -> Any:
    directory = Path(__file__).parent / "queries"
    shared = parts_of((directory / "part.sql").read_text())
    text = "\n".join(expanded(file.read_text(), shared) for file in sorted(directory.glob("*.sql")))
    return aiosql.from_str(text, _adapter, loader_cls=_Loader, mandatory_parameters=False)


queries: Any = _loaded()


def walk(name: str, *, upwards: bool) -> Any:
    """The query of a walk in one direction."""
    return getattr(queries, f"{name}_{'up' if upwards else 'down'}")


def sparse(column: list[T | None]) -> list[T | None]:
    """A column for `unnest`, which pads shorter columns with nulls. Empty if all values are null: every
    element costs time, and most columns of a batch have no value."""
    return [] if column.count(None) == len(column) else column


def as_tuple(values: Sequence[str] | None) -> tuple[str, ...] | None:
    """The array of a column that may be null."""
    return None if values is None else tuple(values)
