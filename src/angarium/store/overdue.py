"""Reads what is needed to estimate when a due delivery is sent: its position, and how fast the lane sends."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.overdue import RECENT, FaultHold
from angarium.store.connection import Connection
from angarium.store.our_fault import noted_since
from angarium.store.sql import queries
from angarium.store.stretch import AHEAD

LOOKED_AT: Final = 2000  # deliveries of an endpoint
COUNTED: Final = 10_000
ATTEMPTED: Final = 15 * 86400.0  # seconds; attempts for older messages are rare, and are not counted


@dataclass(frozen=True, slots=True)
class EndpointBacklog:
    """Of one endpoint: recent attempts and due deliveries, both counted up to `COUNTED`; when the first
    delivery of a first-in-first-out endpoint is due; and the fault on our side for which it waits."""

    recent: int
    due: int
    head_due: float | None
    hold: FaultHold | None


async def endpoints(
    conn: Connection, app_id: UUID, endpoint_ids: Collection[UUID], now: float
) -> dict[UUID, EndpointBacklog]:
    """The backlogs of these endpoints of an application."""
    rows = queries.overdue_endpoints(
        conn, app_id=app_id, endpoint_ids=list(endpoint_ids), now=datetime_at(now),
        since=ids.lowest(now - RECENT), oldest=ids.lowest(now - ATTEMPTED), newest=ids.highest(now + AHEAD),
        most=COUNTED, noted_since=noted_since(now),
    )  # fmt: skip
    return {
        row["id"]: EndpointBacklog(
            row["recent"],
            row["due"],
            row["head_due"] and row["head_due"].timestamp(),
            None if row["hold_code"] is None else FaultHold(row["hold_code"], row["hold_since"].timestamp()),
        )
        async for row in rows
    }


async def places(
    conn: Connection, app_id: UUID, keys: Collection[tuple[UUID, UUID]], now: float
) -> dict[tuple[UUID, UUID], int]:
    """How many deliveries come before each of these, which are pairs of endpoint id and message id. One that
    is left out comes after `LOOKED_AT` others."""
    rows = queries.overdue_places(
        conn, app_id=app_id, endpoint_ids=[endpoint_id for endpoint_id, _ in keys],
        message_ids=[message_id for _, message_id in keys], now=datetime_at(now), most=LOOKED_AT,
    )  # fmt: skip
    return {(row["endpoint_id"], row["message_id"]): row["ahead"] async for row in rows}
