"""Applications: find, list, create, update, delete."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from angarium.core import ids
from angarium.core.errors import Conflict
from angarium.core.nouns import Application
from angarium.core.patterns import is_uid
from angarium.store.connection import Connection, Row
from angarium.store.sql import queries, walk

TAKEN = "An application with that id or uid already exists"


@dataclass(frozen=True, slots=True)
class ApplicationFilter:
    """What the endpoints of an application must be like for it to be listed."""

    with_endpoints: bool = False  # it has one at least
    not_all_disabled: bool = False  # if it has any, one is enabled
    not_all_below: tuple[str, ...] = ()  # if it has any, the URL of one begins with none of these


EVERY: Final = ApplicationFilter()


def _application(row: Row) -> Application:
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
    """The living application with this id or uid, or None; `ref` may be any text. `lock` it for a change."""
    app_id = ids.parse(ids.APPLICATION, ref)
    if app_id is None and not is_uid(ref, ids.APPLICATION):
        return None
    uid = ref if app_id is None else None
    query = queries.application_lock if lock else queries.application_find
    row = await query(connection, org_id=org_id, id=app_id, uid=uid)
    return None if row is None else _application(row)


async def hold(connection: Connection, org_id: str, app_id: UUID) -> None:
    """From here to the end of the transaction nobody else holds the application: what it has can be counted.

    Intake and everything else that only reads goes on.
    """
    await queries.application_hold(connection, org_id=org_id, id=app_id)


async def create(connection: Connection, application: Application) -> Application:
    """Raises Conflict when the uid is taken."""
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
        raise Conflict(TAKEN)
    await queries.application_place(
        connection, id=application.id, org_id=application.org_id, section=connection.section.schema
    )
    return _application(row)


async def update(connection: Connection, application: Application) -> Application | None:
    """Store what can change. None when it is gone; raises Conflict when the uid is taken."""
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
        raise Conflict(TAKEN) from error
    return None if row is None else _application(row)


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
    """Up to `limit` applications beyond the cursor, in the order asked for."""
    query = walk("application_list", upwards=ascending)
    rows = query(
        connection,
        org_id=org_id,
        cursor=cursor,
        limit=limit,
        with_endpoints=wanted.with_endpoints,
        not_all_disabled=wanted.not_all_disabled,
        not_all_below=list(wanted.not_all_below) or None,
    )
    return [_application(row) async for row in rows]


async def search(connection: Connection, org_id: str, text: str, limit: int) -> list[Application]:
    """Up to `limit` applications that have the text in their name or uid, newest first."""
    rows = queries.application_search(connection, org_id=org_id, text=text, limit=limit)
    return [_application(row) async for row in rows]
