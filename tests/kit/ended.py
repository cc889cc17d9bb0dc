"""Deletion of expired data, as the owner of the first shard does it each minute."""

from __future__ import annotations

from angarium.clock import Clock
from angarium.dispatch.maintenance import Maintenance
from angarium.store.database import Database
from angarium.store.retention import Retention


async def end(database: Database, clock: Clock, retention: Retention | None = None) -> None:
    """One round of it."""
    await Maintenance(database, clock, lambda: True, retention or Retention()).delete()
