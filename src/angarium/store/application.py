"""Finds, lists, creates, updates and deletes applications."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from angarium.core import ids
from angarium.core.errors import NotFound, UidTaken
from angarium.core.nouns import Application
from angarium.core.patterns import is_uid
from angarium.core.quota import Own
from angarium.store.connection import Connection, Row
from angarium.store.message import IdRange
from angarium.store.sql import queries, walk


@dataclass(frozen=True, slots=True)
class ApplicationFilter:
    """Selects applications by their endpoints."""

    with_endpoints: bool = False  # has at least one endpoint
    not_all_disabled: bool = False  # has no endpoint, or an enabled one
    not_all_below: tuple[str, ...] = ()  # has no endpoint, or one whose URL starts with none of these


EVERY: Final = ApplicationFilter()


def application_of(row: Row) -> Application:
    """The application of a row."""
    return Application(
        id=row["id"],
        org_id=row["org_id"],
        uid=row["uid"],
        name=row["name"],
        rate_limit=row["rate_limit"],
        metadata=row["metadata"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


async def find(connection: Connection, org_id: str, ref: str, *, lock: bool = False) -> Application | None:
    """The application with this id or uid, or None; `ref` may be any text. `lock` the row for an update."""
    app_id = ids.parse(ids.APPLICATION, ref)
    if app_id is None and not is_uid(ref, ids.APPLICATION):
        return None
    uid = ref if app_id is None else None
    query = queries.application_lock if lock else queries.application_find
    row = await query(connection, org_id=org_id, id=app_id, uid=uid)
    return None if row is None else application_of(row)


async def hold(connection: Connection, org_id: str, app_id: UUID) -> Own:
    """Lock the application until the end of the transaction, so that what belongs to it can be counted.
    Returns its own limits.

    Intake and readers are not blocked. Raises NotFound if it was deleted.
    """
    own: Own | None = await queries.application_hold(connection, org_id=org_id, id=app_id)
    if own is None:
        raise NotFound()
    return own


async def create(connection: Connection, application: Application) -> Application:
    """Store a new application. Raises UidTaken if the uid is taken."""
    row = await queries.application_insert(
        connection,
        id=application.id,
        org_id=application.org_id,
        uid=application.uid,
        name=application.name,
        rate_limit=application.rate_limit,
        metadata=application.metadata,
        created_at=application.created_at,
        updated_at=application.updated_at,
    )
    if row is None:
        raise UidTaken("an application")
    await queries.application_place(
        connection, id=application.id, org_id=application.org_id, section=connection.section.schema
    )
    return application_of(row)


async def update(connection: Connection, application: Application) -> Application | None:
    """Store what can change. Returns None if it is deleted. Raises UidTaken if the uid is taken."""
    try:
        row = await queries.application_update(
            connection,
            id=application.id,
            org_id=application.org_id,
            uid=application.uid,
            name=application.name,
            rate_limit=application.rate_limit,
            metadata=application.metadata,
            updated_at=application.updated_at,
        )
    except asyncpg.UniqueViolationError as error:
        raise UidTaken("an application") from error
    return None if row is None else application_of(row)


async def delete(connection: Connection, application: Application, now: datetime) -> None:
    await queries.application_delete(connection, id=application.id, org_id=application.org_id, now=now)
    await queries.application_displace(connection, id=application.id)


async def page(
    connection: Connection,
    org_id: str,
    cursor: UUID | None,
    *,
    ascending: bool,
    limit: int,
    wanted: ApplicationFilter = EVERY,
) -> list[Application]:
    """Up to `limit` applications after the cursor, in the requested order."""
    bounds = IdRange.beyond(cursor, limit, upwards=ascending)
    query = walk("application_list", upwards=ascending)
    rows = query(
        connection,
        org_id=org_id,
        low=bounds.low,
        high=bounds.high,
        limit=limit,
        with_endpoints=wanted.with_endpoints,
        not_all_disabled=wanted.not_all_disabled,
        not_all_below=list(wanted.not_all_below) or None,
    )
    return [application_of(row) async for row in rows]


async def search(connection: Connection, org_id: str, text: str, limit: int) -> list[Application]:
    """Up to `limit` applications whose name or uid contains the text, newest first."""
    rows = queries.application_search(connection, org_id=org_id, text=text, limit=limit)
    return [application_of(row) async for row in rows]


async def take_from_counter(
    connection: Connection, app_id: UUID, name: str, start: int, amount: int
) -> tuple[int, int]:
    """Subtract `amount` from a counter of the sandbox, such as credits. Returns its values before and after,
    neither below zero."""
    after: int = await queries.sandbox_counter_take(
        connection, app_id=app_id, name=name, start=start, take=amount
    )
    return max(0, after + amount), max(0, after)
