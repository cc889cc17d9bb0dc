"""Connections that explain each statement before they run it, and what its plan reads."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from angarium.store.connection import Connection
from tests.kit.plan import literal


class _Undone(Exception):
    """Ends a transaction."""


@asynccontextmanager
async def undone(connection: Connection) -> AsyncIterator[None]:
    """A transaction that is rolled back at its end."""
    with suppress(_Undone):
        async with connection.transaction():
            yield
            raise _Undone


class Explaining:
    """A connection that passes each statement to `explain` first. Subclasses say what they note of it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.section = connection.section

    async def explain(self, sql: str, args: tuple[Any, ...]) -> None:
        raise NotImplementedError

    async def fetch(self, sql: str, *args: Any) -> Any:
        await self.explain(sql, args)
        return await self._connection.fetch(sql, *args)

    async def fetchrow(self, sql: str, *args: Any) -> Any:
        await self.explain(sql, args)
        return await self._connection.fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: Any) -> Any:
        await self.explain(sql, args)
        return await self._connection.fetchval(sql, *args)

    async def execute(self, sql: str, *args: Any) -> Any:
        await self.explain(sql, args)
        return await self._connection.execute(sql, *args)

    async def plan(self, statement: str, *args: Any) -> dict[str, Any]:
        """The plan of a statement as it ran. What the statement changes is undone."""
        async with undone(self._connection):
            text = await self._connection.fetchval(
                f"explain (analyze, buffers, format json) {statement}", *args
            )
        made: dict[str, Any] = json.loads(text)[0]["Plan"]
        return made

    async def plans(self, sql: str, args: tuple[Any, ...]) -> list[dict[str, Any]]:
        """The plan for these values, and the generic plan that PostgreSQL keeps for a frequent statement."""
        run, values = self._connection, f"({', '.join(map(literal, args))})" if args else ""
        made = [await self.plan(sql, *args)]
        await run.execute("set plan_cache_mode = force_generic_plan")
        await run.execute(f"prepare asked as {sql}")
        made.append(await self.plan(f"execute asked {values}"))
        await run.execute("deallocate asked")
        await run.execute("reset plan_cache_mode")
        return made


class Explained(Explaining):
    """Notes how many pages of the queue the last query read."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.pages = 0

    async def explain(self, sql: str, args: tuple[Any, ...]) -> None:
        self.pages = pages_of(await self.plan(sql, *args), "pending", "retry")


def pages_of(plan: dict[str, Any], *tables: str) -> int:
    """How many pages of these tables and their indexes a plan read."""
    if plan.get("Relation Name") in tables:
        return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
    return sum(pages_of(below, *tables) for below in plan.get("Plans", ()))
