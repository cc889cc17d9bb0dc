"""Finds, lists, creates, updates and expunges event types."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from angarium.core.errors import EventTypeExists
from angarium.core.nouns import EventType
from angarium.store.connection import Connection, Row
from angarium.store.sql import queries, walk


def _event_type(row: Row) -> EventType:
    return EventType(
        org_id=row["org_id"],
        name=row["name"],
        description=row["description"],
        schemas=row["schemas"],
        archived=row["archived"],
        deprecated=row["deprecated"],
        feature_flags=tuple(row["feature_flags"]),
        group_name=row["group_name"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _values(event_type: EventType) -> dict[str, Any]:
    return {
        "org_id": event_type.org_id,
        "name": event_type.name,
        "description": event_type.description,
        "schemas": event_type.schemas,
        "archived": event_type.archived,
        "deprecated": event_type.deprecated,
        "feature_flags": event_type.feature_flags,
        "group_name": event_type.group_name,
        "updated_at": event_type.updated_at,
    }


async def find(connection: Connection, org_id: str, name: str, *, lock: bool = False) -> EventType | None:
    """The event type of this name, archived or not. `lock` the row for an update."""
    query = queries.event_type_lock if lock else queries.event_type_find
    row = await query(connection, org_id=org_id, name=name)
    return None if row is None else _event_type(row)


async def create(connection: Connection, event_type: EventType) -> EventType:
    """Store a new event type, or restore an archived one. Raises EventTypeExists if the name is in use."""
    row = await queries.event_type_insert(connection, **_values(event_type), created_at=event_type.created_at)
    if row is None:
        raise EventTypeExists()
    return _event_type(row)


async def update(connection: Connection, event_type: EventType) -> EventType | None:
    row = await queries.event_type_update(connection, **_values(event_type))
    return None if row is None else _event_type(row)


async def expunge(connection: Connection, org_id: str, name: str) -> None:
    await queries.event_type_expunge(connection, org_id=org_id, name=name)


async def page(
    connection: Connection,
    org_id: str,
    cursor: str | None,
    *,
    ascending: bool,
    limit: int,
    include_archived: bool,
    flags: Collection[str] | None,
) -> list[EventType]:
    """Up to `limit` event types after the cursor. `flags` None: with any flags."""
    query = walk("event_type_list", upwards=ascending)
    rows = query(
        connection,
        org_id=org_id,
        cursor=cursor,
        limit=limit,
        include_archived=include_archived,
        flags=None if flags is None else list(flags),
    )
    return [_event_type(row) async for row in rows]


async def known(connection: Connection, org_id: str, names: Collection[str]) -> set[str]:
    """The names among these that are event types in use."""
    rows = queries.event_type_known(connection, org_id=org_id, names=list(names))
    return {row["name"] async for row in rows}
