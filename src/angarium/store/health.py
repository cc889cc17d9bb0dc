"""Whether the database answers."""

from __future__ import annotations

from typing import Any

from angarium.store.sql import queries


async def check(connection: Any) -> bool:
    return bool(await queries.health_check(connection))
