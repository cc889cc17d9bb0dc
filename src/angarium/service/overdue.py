"""Estimates when deliveries that are due and wait will start, and how many others are ahead of them.

The position comes from the queue, and the speed from the attempts of the last minute. Nothing else is stored
for the estimate except faults on our side (store/our_fault.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from angarium.clock import Clock, datetime_at
from angarium.core.overdue import Hold, WaitEstimate, estimate
from angarium.store import overdue as store
from angarium.store.connection import Connection
from angarium.store.database import Database


class DueDelivery(Protocol):
    """The fields of a delivery that the estimate needs."""

    @property
    def endpoint_id(self) -> UUID: ...
    @property
    def message_id(self) -> UUID: ...
    @property
    def due_at(self) -> datetime | None: ...


class DeliveryKey(NamedTuple):
    """Identifies a delivery."""

    endpoint_id: UUID
    message_id: UUID


class WaitEstimates(dict[DeliveryKey, WaitEstimate]):
    """The estimates for those deliveries that wait."""

    def next_attempt(self, endpoint_id: UUID, message_id: UUID, due_at: datetime | None) -> datetime | None:
        """When the next attempt is due, or expected if it waits; never in the past. None: there is none, or
        it cannot be estimated."""
        wait = self.get(DeliveryKey(endpoint_id, message_id))
        if wait is None:
            return due_at
        return None if wait.expected_at is None else datetime_at(wait.expected_at)

    def waiting(self, endpoint_id: UUID, message_id: UUID) -> bool:
        """Whether the delivery has been due for longer than a start takes."""
        wait = self.get(DeliveryKey(endpoint_id, message_id))
        return wait is not None and wait.waiting

    def hold(self, endpoint_id: UUID, message_id: UUID) -> Hold | None:
        """The fault on our side that holds up the delivery."""
        wait = self.get(DeliveryKey(endpoint_id, message_id))
        return None if wait is None else wait.hold


class Overdue:
    """Estimates waits from the database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def of(self, app_id: UUID, owed: Iterable[DueDelivery]) -> WaitEstimates:
        """Estimates for those deliveries that wait. Queries the database only if any is due."""
        now = self._clock.now()
        due = {
            DeliveryKey(one.endpoint_id, one.message_id): one.due_at.timestamp()
            for one in owed
            if one.due_at is not None and one.due_at.timestamp() <= now
        }
        if not due:
            return WaitEstimates()

        async def look(conn: Connection) -> WaitEstimates:
            backlogs = await store.endpoints(conn, app_id, {key.endpoint_id for key in due}, now)
            places = await store.places(conn, app_id, due.keys(), now)
            return WaitEstimates(
                (
                    key,
                    estimate(
                        due_at=at,
                        ahead=places.get(key, min(store.LOOKED_AT, backlogs[key.endpoint_id].due)),
                        recent=backlogs[key.endpoint_id].recent,
                        head_due=backlogs[key.endpoint_id].head_due,
                        now=now,
                        hold=backlogs[key.endpoint_id].hold,
                    ),
                )
                for key, at in due.items()
                if key.endpoint_id in backlogs
            )

        return await self._database.read(look)

    async def at(self, app_id: UUID, endpoint_id: UUID) -> tuple[int, WaitEstimate | None]:
        """How many deliveries of an endpoint are due, up to a bound, and the wait of one more."""
        now = self._clock.now()
        backlogs = await self._database.read(lambda conn: store.endpoints(conn, app_id, [endpoint_id], now))
        if endpoint_id not in backlogs or not backlogs[endpoint_id].due:
            return 0, None
        one = backlogs[endpoint_id]
        return one.due, estimate(
            due_at=now, ahead=one.due, recent=one.recent, head_due=one.head_due, now=now, hold=one.hold
        )
