"""Listeners: endpoints of the shard that no dispatcher owns; their deliveries wait to be fetched.

A fetched delivery is leased: it is owed again when the lease ends, so a listener may die with it.
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

SILENCE: Final = 7 * 86400.0  # seconds without a fetch after which a listener is given up


@dataclass(frozen=True, slots=True)
class Fetched:
    """One delivery and what an attempt of it starts from; `payload` None: it is gone."""

    message_id: UUID
    state: State
    failures: int
    attempts: int
    manual_at: datetime | None
    event_type: str
    payload: bytes | None
    content_type: str | None
    test: bool  # sent to this listener alone, to try it


async def heard(connection: Connection, app_id: UUID, endpoint_id: UUID, now: datetime) -> None:
    """Somebody listens."""
    await queries.listener_heard(connection, app_id=app_id, endpoint_id=endpoint_id, now=now)


async def fetch(
    connection: Connection, app_id: UUID, endpoint_id: UUID, now: datetime, lease_until: datetime, limit: int
) -> list[Fetched]:
    """At most `limit` deliveries that are due, in order of their messages."""
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


async def give_up(connection: Connection, now: float, limit: int) -> int:
    """Disable listeners that nobody runs any more, and cancel what they are owed; gives how many.

    In a transaction. Once opened again a listener is caught up with what was canceled.
    """
    rows = queries.listener_silent(connection, since=datetime_at(now - SILENCE), limit=limit)
    silent = [(row["app_id"], row["endpoint_id"], row["org_id"]) async for row in rows]
    for app_id, endpoint_id, org_id in silent:
        one = Disable(org_id, app_id, endpoint_id, DisabledReason.UNHEARD)
        await disable(connection, one, now, endpoint_id.bytes[-8:])
    return len(silent)
