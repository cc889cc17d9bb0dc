"""Writes and reads the audit log. An audit event is written in the transaction of its change.

Changes to the control schema are recorded in the control schema, all others in the section of the
application, so that a change and its record are always in one database.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from heapq import merge
from ipaddress import ip_address
from itertools import islice
from typing import Final
from uuid import UUID

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.audit import Actor, AuditEvent
from angarium.store.connection import Connection, Row
from angarium.store.message import IdRange
from angarium.store.sql import queries, walk

CONTROL: Final = frozenset(
    {"api_key", "event_type", "organization", "portal", "portal_link", "restore", "session", "token"}
)
"""Nouns of the actions that are recorded in the control schema."""


@dataclass(frozen=True, slots=True)
class Record:
    """An audit event with its actor."""

    id: UUID
    actor: Actor
    audit_event: AuditEvent

    @property
    def at(self) -> datetime:
        return datetime_at(ids.created_at(self.id))


async def record(connection: Connection, record_id: UUID, actor: Actor, audit_event: AuditEvent) -> None:
    """Write an audit event. Call it in the transaction of the change."""
    noun = audit_event.action.partition(".")[0]
    recorded = queries.audit_record_control if noun in CONTROL else queries.audit_record
    await recorded(
        connection,
        org_id=audit_event.org_id,
        id=record_id,
        app_id=audit_event.app_id,
        actor=actor.text,
        address=_address(actor.address),
        action=audit_event.action,
        target=audit_event.target,
        before=audit_event.before,
        after=audit_event.after,
    )


async def page(
    connection: Connection, org_id: str, app_id: UUID | None, page: IdRange, *, action: str | None = None
) -> list[Record]:
    """Audit events of an organization, or of one of its applications, in the order of the range.

    `action`: one action, or a noun (`endpoint`) for all actions on it.
    """
    bound = {
        "org_id": org_id,
        "low": page.low,
        "high": page.high,
        "limit": page.limit,
        "action": action,
        "noun": f"{action}.",
    }
    kind = "page"
    if app_id is not None:
        kind, bound["app_id"] = "application_page", app_id
    found = [
        [
            record_of(row)
            async for row in walk(f"audit_{part}{kind}", upwards=page.upwards)(connection, **bound)
        ]
        for part in ("", "control_")
    ]
    return list(islice(merge(*found, key=lambda one: one.id, reverse=not page.upwards), page.limit))


def _address(text: str | None) -> str | None:
    """The text if it is an IP address. A proxy may have passed on something else, which is not stored."""
    try:
        return None if text is None else str(ip_address(text))
    except ValueError:
        return None


def record_of(row: Row) -> Record:
    """The record of a row."""
    return Record(
        row["id"],
        Actor.of(row["actor"], row["address"]),
        AuditEvent(row["org_id"], row["app_id"], row["action"], row["target"], row["before"], row["after"]),
    )
