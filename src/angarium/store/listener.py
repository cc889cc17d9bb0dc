"""Fetches deliveries for listeners: endpoints in a shard that no dispatcher owns.

A fetched delivery is leased. It is due again when the lease ends, so nothing is lost if a listener dies.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from angarium.clock import datetime_at
from angarium.core.nouns import DisabledReason, State
from angarium.store.connection import Connection
from angarium.store.disable import Disable, disable
from angarium.store.sql import queries

SILENCE: Final = 7 * 86400.0  # seconds without a fetch after which a listener is disabled


@dataclass(frozen=True, slots=True)
class Fetched:
    """A delivery with its state before the attempt; `payload` None: deleted."""

    message_id: UUID
    state: State
    failures: int
    attempts: int
    manual_at: datetime | None
    event_type: str
    payload: bytes | None
    content_type: str | None
    test: bool  # sent to this listener only


async def running(connection: Connection, app_id: UUID, endpoint_id: UUID, now: datetime) -> None:
    """Record that the listener is running."""
    await queries.listener_running(connection, app_id=app_id, endpoint_id=endpoint_id, now=now)


async def fetch(
    connection: Connection, app_id: UUID, endpoint_id: UUID, now: datetime, lease_until: datetime, limit: int
) -> list[Fetched]:
    """Lease at most `limit` deliveries that are due, in order of their messages."""
    rows = queries.listener_fetch(
        connection,
        app_id=app_id,
        endpoint_id=endpoint_id,
        now=now,
        lease_until=lease_until,
        limit=limit,
    )
    return [
        Fetched(
            row["message_id"],
            State(row["state"]),
            row["failures"],
            row["attempts"],
            row["manual_at"],
            row["event_type"] or "",
            row["payload"],
            row["content_type"],
            row["test"],
        )
        async for row in rows
    ]


async def disable_silent(connection: Connection, now: float, limit: int) -> int:
    """Disable at most `limit` listeners that have not fetched for `SILENCE`, and cancel their deliveries.

    Call it in a transaction. Returns how many. When such a listener starts again, it gets what was canceled.
    """
    rows = queries.listener_silent(connection, since=datetime_at(now - SILENCE), limit=limit)
    silent = [(row["app_id"], row["endpoint_id"], row["org_id"]) async for row in rows]
    for app_id, endpoint_id, org_id in silent:
        one = Disable(org_id, app_id, endpoint_id, DisabledReason.UNHEARD)
        await disable(connection, one, now, endpoint_id.bytes[-8:])
    return len(silent)
