"""Whether the database answers, and takes writes."""

from __future__ import annotations

from typing import Any

from angarium.store.sql import queries


async def writable(connection: Any) -> bool:
    return bool(await queries.health_check(connection))
