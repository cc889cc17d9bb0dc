"""The audit log: deeds recorded in their own transaction, and read. The table refuses every change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from typing import Any
from uuid import UUID

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.audit import Actor, Deed
from angarium.store.message import Page
from angarium.store.sql import queries, walk


@dataclass(frozen=True, slots=True)
class Record:
    """A deed with who did it."""

    id: UUID
    actor: Actor
    deed: Deed

    @property
    def at(self) -> datetime:
        return datetime_at(ids.created_at(self.id))


async def record(connection: Any, record_id: UUID, actor: Actor, deed: Deed) -> None:
    """Write a deed. Call it in the transaction that does the deed."""
    await queries.audit_record(
        connection,
        org_id=deed.org_id,
        id=record_id,
        app_id=deed.app_id,
        actor=actor.text,
        address=_address(actor.address),
        action=deed.action,
        target=deed.target,
        before=deed.before,
        after=deed.after,
    )


async def page(
    connection: Any, org_id: str, app_id: UUID | None, page: Page, *, action: str | None = None
) -> list[Record]:
    """Deeds of an organization, or of one application of it, in the order of the walk.

    `action`: one action, or with a noun alone (`endpoint`) all of that noun.
    """
    bound = {
        "org_id": org_id,
        "low": page.low,
        "high": page.high,
        "limit": page.limit,
        "action": action,
        "noun": f"{action}.",
    }
    if app_id is None:
        rows = walk("audit_page", upwards=page.upwards)(connection, **bound)
    else:
        rows = walk("audit_application_page", upwards=page.upwards)(connection, app_id=app_id, **bound)
    return [_record(row) async for row in rows]


def _address(text: str | None) -> str | None:
    """An IP address; what a proxy may have passed on instead is nothing to keep."""
    try:
        return None if text is None else str(ip_address(text))
    except ValueError:
        return None


def _record(row: Any) -> Record:
    return Record(
        row["id"],
        Actor.of(row["actor"], row["address"]),
        Deed(row["org_id"], row["app_id"], row["action"], row["target"], row["before"], row["after"]),
    )
