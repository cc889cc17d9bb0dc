"""Reads what requeueing needs of an endpoint, and sends the hint to the owner of its lane."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from angarium.core.patterns import covers, is_event_type
from angarium.store.connection import Connection, Row
from angarium.store.hint import lane_hint
from angarium.store.sql import as_tuple, queries


@dataclass(frozen=True, slots=True)
class ReplayTarget:
    """An endpoint to which deliveries are requeued."""

    id: UUID
    app_id: UUID
    shard: int
    fifo: bool
    event_types: tuple[str, ...] | None
    channels: tuple[str, ...] | None
    disabled_at: datetime | None

    def wants(self, event_type: str, channels: Iterable[str]) -> bool:
        """Whether the endpoint matches messages of this type and these channels today."""
        if self.channels is not None and set(self.channels).isdisjoint(channels):
            return False
        return covers(self.event_types, event_type)


def due(target: ReplayTarget, now: datetime) -> datetime | None:
    """When a manual attempt requested now is due; None: it waits until the endpoint is enabled."""
    return now if target.disabled_at is None else None


def _target(row: Row | None) -> ReplayTarget | None:
    if row is None:
        return None
    return ReplayTarget(
        row["id"], row["app_id"], row["shard"], row["fifo"],
        as_tuple(row["event_types"]), as_tuple(row["channels"]), row["disabled_at"],
    )  # fmt: skip


async def find_target(
    conn: Connection, app_id: UUID, *, endpoint_id: UUID | None = None, uid: str | None = None
) -> ReplayTarget | None:
    """An endpoint of the application, by its id or uid."""
    if endpoint_id is not None:
        return _target(await queries.delivery_target_by_id(conn, app_id=app_id, id=endpoint_id))
    if uid is None or not is_event_type(uid):  # a uid has the same characters
        return None
    return _target(await queries.delivery_target_by_uid(conn, app_id=app_id, uid=uid))


async def hold_target(conn: Connection, app_id: UUID, endpoint_id: UUID) -> ReplayTarget | None:
    """The same, locked against being disabled or deleted until the transaction ends."""
    return _target(await queries.delivery_target_hold(conn, app_id=app_id, id=endpoint_id))


async def hint_target(conn: Connection, target: ReplayTarget) -> None:
    """Send the owner of the endpoint's lane a hint that there is work, when the transaction commits."""
    await queries.delivery_hint(conn, hint=lane_hint(target.app_id, target.id))
