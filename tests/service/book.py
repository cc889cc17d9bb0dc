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
        values = {"event_id": None, "event_type": "order.filled", "payload": b"{}", "tags": None} | fields
        message_id = ids.new(START + next(self.seconds), os.urandom(8))
        app_id = (app or self.app).id
        await self.world.fetch(
            "insert into message (app_id, id, event_id, event_type, payload, channels, tags, expires_at)"
            " values ($1, $2, $3, $4, $5, $6, $7, $8)",
            app_id, message_id, values["event_id"], values["event_type"], values["payload"],
            values.get("channels"), values["tags"], datetime_at(START + 1e9),
        )  # fmt: skip
        if values["event_id"] is not None:
            await self.world.fetch(
                "insert into event_id values ($1, $2, $3)", app_id, values["event_id"], message_id
            )
        return message_id

    async def owe(self, message_id: UUID, endpoint_id: UUID, **fields: Any) -> LogKey:
        """A delivery, delivered at once unless told otherwise."""
        row = {"state": State.DELIVERED, "failures": 0, "status_code": 200, "error_code": None} | fields
        app_id = row.pop("app_id", self.app.id)
        await self.world.fetch(
            "insert into delivery (app_id, endpoint_id, message_id, shard, fifo, state, failures, attempts,"
            " status_code, error_code, due_at, manual_at)"
            " values ($1, $2, $3, $10, false, $4, $5, 1, $6, $7, $8, $9)",
            app_id, endpoint_id, message_id, row["state"], row["failures"], row["status_code"],
            row["error_code"], row.get("due_at"), row.get("manual_at"), endpoint_id.int % 64,
        )  # fmt: skip
        return LogKey(message_id, endpoint_id)

    async def find(self, **wanted: Any) -> list[LogKey]:
        return keys(await self.log.page(self.app.id, LogFilter(**wanted)))


def keys(page: LogPage) -> list[LogKey]:
    return [line.key for line in page.lines]
