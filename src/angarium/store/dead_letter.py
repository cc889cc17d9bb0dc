"""Lists dead letters: exhausted and canceled deliveries that can still be sent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from angarium.core.nouns import State
from angarium.store.connection import Connection
from angarium.store.sql import queries


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that an endpoint did not receive."""

    app_id: UUID
    endpoint_id: UUID
    url: str
    message_id: UUID
    event_type: str
    state: State
    failures: int


@dataclass(frozen=True, slots=True)
class Undelivered:
    """How many messages an endpoint did not receive."""

    app_id: UUID
    endpoint_id: UUID
    url: str
    disabled: bool
    number: int


@dataclass(frozen=True, slots=True)
class Where:
    """Selects dead letters: of an organization, one of its applications or endpoints, from a message id
    on."""

    org_id: str
    app_id: UUID | None
    endpoint_id: UUID | None
    lowest: UUID
    now: datetime


async def page(connection: Connection, where: Where, limit: int) -> list[DeadLetter]:
    """At most `limit`, newest first."""
    rows = queries.dead_letter_list(connection, **_bound(where), limit=limit)
    return [
        DeadLetter(
            row["app_id"], row["endpoint_id"], row["url"], row["message_id"], row["event_type"],
            State(row["state"]), row["failures"],
        )
        async for row in rows
    ]  # fmt: skip


async def undelivered(connection: Connection, where: Where) -> list[Undelivered]:
    """The endpoints that have dead letters."""
    rows = queries.dead_letter_endpoint(connection, **_bound(where))
    return [
        Undelivered(row["app_id"], row["id"], row["url"], row["disabled"], row["number"])
        async for row in rows
    ]


def _bound(where: Where) -> dict[str, Any]:
    return {
        "org_id": where.org_id,
        "app_id": where.app_id,
        "endpoint_id": where.endpoint_id,
        "lowest": where.lowest,
        "now": where.now,
    }
