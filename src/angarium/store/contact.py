"""Stores the contacts of applications."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from angarium.core.alert import AlertKind
from angarium.core.contact import Contact, ContactStatus
from angarium.store.connection import Connection, Row
from angarium.store.sql import queries


def _contact(row: Row) -> Contact:
    return Contact(
        id=row["id"],
        app_id=row["app_id"],
        org_id=row["org_id"],
        email=row["email"],
        kinds=tuple(AlertKind(kind) for kind in row["kinds"]),
        status=ContactStatus(row["status"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        nonce=row["nonce"],
        bounce=row["bounce"],
    )


async def contacts(connection: Connection, app_id: UUID, *, lock: bool = False) -> list[Contact]:
    """The contacts of an application, in order of creation. There are few. `lock` the rows for an update."""
    query = queries.contact_list_lock if lock else queries.contact_list
    return [_contact(row) async for row in query(connection, app_id=app_id)]


async def lock(connection: Connection, app_id: UUID, contact_id: UUID) -> Contact | None:
    """A contact, locked until the end of the transaction."""
    row = await queries.contact_lock(connection, app_id=app_id, id=contact_id)
    return None if row is None else _contact(row)


async def create(connection: Connection, contact: Contact) -> None:
    await queries.contact_insert(
        connection,
        app_id=contact.app_id,
        id=contact.id,
        org_id=contact.org_id,
        email=contact.email,
        kinds=list(contact.kinds),
        status=contact.status,
        nonce=contact.nonce,
        now=contact.created_at,
    )


async def update(connection: Connection, contact: Contact, now: datetime) -> None:
    """Store what can change. Nothing waits for a contact that is not active."""
    await queries.contact_update(
        connection,
        app_id=contact.app_id,
        id=contact.id,
        kinds=list(contact.kinds),
        status=contact.status,
        nonce=contact.nonce,
        bounce=contact.bounce,
        now=now,
    )
    if contact.status is not ContactStatus.ACTIVE:
        await queries.contact_forget(connection, ids=[contact.id])


async def delete(connection: Connection, app_id: UUID, contact_ids: Sequence[UUID]) -> None:
    """Delete contacts, with what waits for them."""
    await queries.contact_forget(connection, ids=list(contact_ids))
    await queries.contact_delete(connection, app_id=app_id, ids=list(contact_ids))


async def delete_all(connection: Connection, app_id: UUID) -> None:
    """Delete the contacts of an application."""
    await delete(connection, app_id, [one.id for one in await contacts(connection, app_id)])
