"""The named queries of `queries/*.sql`, loaded once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeVar

import aiosql
from aiosql.adapters.asyncpg import AsyncPGAdapter

T = TypeVar("T")


class _OnConnection(AsyncPGAdapter):
    """aiosql's adapter without its look whether it was given a pool, which costs more than the call."""

    def _order(self, query_name: str, parameters: Any) -> Any:
        return self.maybe_order_params(query_name, parameters)  # type: ignore[no-untyped-call]

    async def select(
        self, conn: Any, query_name: str, sql: str, parameters: Any, record_class: Any = None
    ) -> AsyncIterator[Any]:
        for row in await conn.fetch(sql, *self._order(query_name, parameters)):
            yield row

    async def select_one(
        self, conn: Any, query_name: str, sql: str, parameters: Any, record_class: Any = None
    ) -> Any:
        return await conn.fetchrow(sql, *self._order(query_name, parameters))

    async def select_value(self, conn: Any, query_name: str, sql: str, parameters: Any) -> Any:
        return await conn.fetchval(sql, *self._order(query_name, parameters))

    async def insert_update_delete(self, conn: Any, query_name: str, sql: str, parameters: Any) -> Any:
        return await conn.execute(sql, *self._order(query_name, parameters))


_adapter: Any = _OnConnection
queries: Any = aiosql.from_path(Path(__file__).parent / "queries", _adapter, mandatory_parameters=False)


def sparse(column: list[T | None]) -> list[T | None]:
    """A column for `unnest`, which fills up shorter ones with nulls: nothing when it is all nulls, for each
    element costs, and most columns of a batch have no value."""
    return [] if column.count(None) == len(column) else column
