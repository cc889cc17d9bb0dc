"""How many pages of the queue a query looks at."""

from __future__ import annotations

import json
from typing import Any

from angarium.store.connection import Connection


class Explained:
    """A connection that tells how many pages of the queue a query looked at."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.section = connection.section
        self.pages = 0

    async def fetch(self, sql: str, *args: Any) -> Any:
        await self._explain(sql, args)
        return await self._connection.fetch(sql, *args)

    async def fetchrow(self, sql: str, *args: Any) -> Any:
        await self._explain(sql, args)
        return await self._connection.fetchrow(sql, *args)

    async def _explain(self, sql: str, args: Any) -> None:
        """What the statement does, it does twice."""
        text = await self._connection.fetchval(f"explain (analyze, buffers, format json) {sql}", *args)
        self.pages = _pages_of_queue(json.loads(text)[0]["Plan"])


def _pages_of_queue(plan: dict[str, Any]) -> int:
    if plan.get("Relation Name") in ("pending", "retry"):
        return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
    return sum(_pages_of_queue(below) for below in plan.get("Plans", ()))
