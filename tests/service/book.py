"""A log that a test writes row by row."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import UUID

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.log_filter import LogFilter, LogKey
from angarium.core.nouns import Application, State
from angarium.service.log import Log, LogPage
from tests.kit.rows import add_delivery, add_message
from tests.kit.world import World

START = 1_790_000_000.0


@dataclass
class Book:
    """An application's log, written row by row."""

    world: World
    log: Log
    app: Application
    seconds: Iterator[int] = field(default_factory=count)

    async def endpoint(self, app: Application | None = None, **fields: Any) -> UUID:
        return (await self.world.endpoint(app or self.app, "http://127.0.0.1:9/", **fields)).id

    async def message(self, *, app: Application | None = None, **fields: Any) -> UUID:
        """A message a second later than the one before."""
        values: dict[str, Any] = {
            "event_type": "order.filled",
            "expires_at": datetime_at(START + 1e9),
        } | fields
        message_id = ids.new(START + next(self.seconds), os.urandom(8))
        async with self.world.database.connection() as connection:
            await add_message(connection, (app or self.app).id, message_id, **values)
        return message_id

    async def requeue(self, message_id: UUID, endpoint_id: UUID, **fields: Any) -> LogKey:
        """A delivery, delivered at once unless told otherwise."""
        row: dict[str, Any] = {"app_id": self.app.id, "state": State.DELIVERED, "status_code": 200} | fields
        untried = row["state"] is State.PENDING and not row.get("failures")
        async with self.world.database.connection() as connection:
            await add_delivery(
                connection,
                endpoint_id=endpoint_id,
                message_id=message_id,
                attempts=0 if untried else 1,
                **row,
            )
        return LogKey(message_id, endpoint_id)

    async def find(self, **wanted: Any) -> list[LogKey]:
        return keys(await self.log.page(self.app.id, LogFilter(**wanted)))


def keys(page: LogPage) -> list[LogKey]:
    return [line.key for line in page.lines]
