"""Target: an endpoint as far as owing it something needs to know it, and the hint to its lane's owner."""

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
    """What replaying needs to know of an endpoint."""

    id: UUID
    app_id: UUID
    shard: int
    fifo: bool
    event_types: tuple[str, ...] | None
    channels: tuple[str, ...] | None
    disabled_at: datetime | None

    def wants(self, event_type: str, channels: Iterable[str]) -> bool:
        """Whether a message of this type and these channels would be owed to the endpoint today."""
        if self.channels is not None and set(self.channels).isdisjoint(channels):
            return False
        return covers(self.event_types, event_type)


def due(target: ReplayTarget, now: datetime) -> datetime | None:
    """When what is asked for now is due: what is asked of a disabled endpoint waits until it is enabled."""
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
    """A living endpoint of the application, by its id or by the operator's own id."""
    if endpoint_id is not None:
        return _target(await queries.delivery_target_by_id(conn, app_id=app_id, id=endpoint_id))
    if uid is None or not is_event_type(uid):  # the same characters; anything else names nothing
        return None
    return _target(await queries.delivery_target_by_uid(conn, app_id=app_id, uid=uid))


async def hold_target(conn: Connection, app_id: UUID, endpoint_id: UUID) -> ReplayTarget | None:
    """The same, held against being disabled or deleted until the transaction ends."""
    return _target(await queries.delivery_target_hold(conn, app_id=app_id, id=endpoint_id))


async def hint_target(conn: Connection, target: ReplayTarget) -> None:
    """Tell the owner of the endpoint's lane that there is work, when the transaction commits."""
    await queries.delivery_hint(conn, hint=lane_hint(target.app_id, target.id))
