"""Reads the operator's lists over all applications of an organization.

The indexes of large tables start with the application, so queries go through a bounded number of
applications. Only failing and disabled endpoints have indexes of their own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from angarium.core import ids
from angarium.core.nouns import Application
from angarium.core.patterns import is_event_type
from angarium.store.connection import Connection, Row
from angarium.store.sql import queries


@dataclass(frozen=True, slots=True)
class OperatorEndpoint:
    """An endpoint with its application."""

    app_id: UUID
    app_name: str
    app_uid: str | None
    id: UUID
    url: str
    name: str | None
    failing_since: datetime | None
    failures: int  # in a row
    disabled_at: datetime | None
    disabled_reason: str | None


@dataclass(frozen=True, slots=True)
class Standing:
    """Counts of an application's endpoints and failing deliveries."""

    endpoints: int
    disabled: int
    failing: int
    failing_deliveries: int  # undelivered or being retried, counted up to a limit


@dataclass(frozen=True, slots=True)
class Undelivered:
    """How many messages an endpoint did not receive."""

    app_id: UUID
    endpoint_id: UUID
    url: str
    disabled: bool
    number: int


async def failing(
    conn: Connection, org_id: str, beyond: tuple[datetime, UUID], limit: int
) -> list[OperatorEndpoint]:
    """Failing endpoints, those that have failed longest first, after a time and an endpoint."""
    rows = queries.operator_failing(conn, org_id=org_id, at=beyond[0], endpoint_id=beyond[1], limit=limit)
    return await _endpoints(rows)


async def disabled(
    conn: Connection, org_id: str, beyond: tuple[datetime, UUID], limit: int
) -> list[OperatorEndpoint]:
    """Disabled endpoints, the most recent first, after a time and an endpoint."""
    rows = queries.operator_disabled(conn, org_id=org_id, at=beyond[0], endpoint_id=beyond[1], limit=limit)
    return await _endpoints(rows)


async def healthy(
    conn: Connection, applications: Sequence[Application], beyond: tuple[UUID, UUID], limit: int
) -> list[OperatorEndpoint]:
    """The healthy endpoints of these applications, in their order, after an application and endpoint."""
    rows = queries.operator_healthy(
        conn, app_ids=[one.id for one in applications], app_id=beyond[0], endpoint_id=beyond[1], limit=limit
    )
    return await _endpoints(rows, {one.id: one for one in applications})


async def _endpoints(
    rows: AsyncIterator[Row], known: dict[UUID, Application] | None = None
) -> list[OperatorEndpoint]:
    found = []
    async for row in rows:
        application = known[row["app_id"]] if known else None
        found.append(
            OperatorEndpoint(
                row["app_id"], application.name if application else row["app_name"],
                application.uid if application else row["app_uid"], row["id"], row["url"], row["name"],
                row["failing_since"], row["failures"], row["disabled_at"], row["disabled_reason"],
            )
        )  # fmt: skip
    return found


async def standing(
    conn: Connection, app_ids: Sequence[UUID], lowest: UUID, most: int
) -> dict[UUID, Standing]:
    """The counts of these applications. Failing deliveries are counted from a message on, up to `most`."""
    rows = queries.operator_standing(conn, app_ids=app_ids, lowest=lowest, most=most)
    return {
        row["id"]: Standing(row["endpoints"], row["disabled"], row["failing"], row["failing_deliveries"])
        async for row in rows
    }


async def undelivered(
    conn: Connection, app_ids: Sequence[UUID], beyond: tuple[UUID, UUID], lowest: UUID, now: datetime,
    most: int, limit: int,
) -> list[Undelivered]:  # fmt: skip
    """The undelivered of these applications' endpoints from a message on that can be sent `now`, each counted
    up to `most`."""
    rows = queries.operator_undelivered(
        conn, app_ids=app_ids, app_id=beyond[0], endpoint_id=beyond[1], lowest=lowest, now=now, most=most,
        limit=limit,
    )  # fmt: skip
    return [
        Undelivered(row["app_id"], row["id"], row["url"], row["disabled"], row["number"])
        async for row in rows
    ]


async def messages(
    conn: Connection, app_ids: Sequence[UUID], ref: str, limit: int
) -> list[tuple[UUID, UUID]]:
    """Pairs of application and message id for a reference: a message id or an operator's own id."""
    own = ids.parse(ids.MESSAGE, ref)
    if own is not None:
        rows = queries.operator_message_by_id(conn, app_ids=app_ids, id=own)
    elif is_event_type(ref):  # own ids have the same characters
        rows = queries.operator_message_by_event_id(conn, app_ids=app_ids, event_id=ref, limit=limit)
    else:
        return []
    return [(row["app_id"], row["id"]) async for row in rows]
