"""Reads counts of an application's attempts for charts, and estimates when waiting deliveries start.

The counts lag a few seconds behind the log. An estimate says when a delivery that is due will start, and how
many others are ahead of it. The position comes from the queue, and the speed from the attempts of the last
minute. Nothing else is stored for it except faults on our side (store/our_fault.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple, Protocol
from uuid import UUID

from angarium.clock import Clock, datetime_at
from angarium.core.hourly_stats import HOUR, Point, Span, point
from angarium.core.overdue import FaultHold, WaitEstimate, estimate
from angarium.service.use_case import UseCase
from angarium.store import hourly_stats, overdue
from angarium.store.connection import Connection
from angarium.store.database import Database
from angarium.store.hourly_stats import EndpointHealth


@dataclass(frozen=True, slots=True)
class Series:
    """The points of a chart, oldest first and without gaps, and their total."""

    points: tuple[Point, ...]
    total: Point


_UNKNOWN: Final = EndpointHealth(0, 0, None, None, None, 0, None, None)


class Overview(UseCase):
    """Reads attempt counts, which lag a few seconds behind the log."""

    async def series(self, app_id: UUID, span: Span, endpoint_id: UUID | None = None) -> Series:
        """The attempts in the span that ends now, of one endpoint or the whole application."""
        start = span.start(self._clock.now())
        counts = await self._database.read(
            lambda conn: hourly_stats.hours(conn, app_id, endpoint_id, datetime_at(start))
        )
        seconds = span.step * HOUR
        places = range(start, start + span.hours * HOUR, seconds)
        parts = ([one for one in counts if place <= one.hour < place + seconds] for place in places)
        return Series(
            tuple(
                point(datetime_at(place), seconds, part) for place, part in zip(places, parts, strict=True)
            ),
            point(datetime_at(start), span.hours * HOUR, counts),
        )

    async def health(self, app_id: UUID, endpoint_ids: Sequence[UUID]) -> dict[UUID, EndpointHealth]:
        """The health of each endpoint: attempts in 24 hours, and the last failure in 28 days."""
        now = self._clock.now()
        recent, since = datetime_at(Span.DAY.start(now)), datetime_at(Span.MONTH.start(now))
        found = await self._database.read(
            lambda conn: hourly_stats.health(conn, app_id, endpoint_ids, recent, since)
        )
        return {endpoint_id: found.get(endpoint_id, _UNKNOWN) for endpoint_id in endpoint_ids}


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

    def hold(self, endpoint_id: UUID, message_id: UUID) -> FaultHold | None:
        """The fault on our side that holds up the delivery."""
        wait = self.get(DeliveryKey(endpoint_id, message_id))
        return None if wait is None else wait.hold


class Overdue(UseCase):
    """Estimates waits from the database. `hold`: why all deliveries wait, or None."""

    def __init__(
        self, database: Database, clock: Clock, hold: Callable[[], FaultHold | None] = lambda: None
    ) -> None:
        super().__init__(database, clock)
        self._hold = hold

    async def of(self, app_id: UUID, deliveries: Iterable[DueDelivery]) -> WaitEstimates:
        """Estimates for those deliveries that wait. Queries the database only if any is due."""
        now = self._clock.now()
        due = {
            DeliveryKey(one.endpoint_id, one.message_id): one.due_at.timestamp()
            for one in deliveries
            if one.due_at is not None and one.due_at.timestamp() <= now
        }
        if not due:
            return WaitEstimates()

        async def look(conn: Connection) -> WaitEstimates:
            backlogs = await overdue.endpoints(conn, app_id, {key.endpoint_id for key in due}, now)
            places = await overdue.places(conn, app_id, due.keys(), now)
            return WaitEstimates(
                (
                    key,
                    estimate(
                        due_at=at,
                        ahead=places.get(key, min(overdue.LOOKED_AT, backlogs[key.endpoint_id].due)),
                        recent=backlogs[key.endpoint_id].recent,
                        head_due=backlogs[key.endpoint_id].head_due,
                        now=now,
                        hold=self._hold() or backlogs[key.endpoint_id].hold,
                    ),
                )
                for key, at in due.items()
                if key.endpoint_id in backlogs
            )

        return await self._database.read(look)

    async def at(self, app_id: UUID, endpoint_id: UUID) -> tuple[int, WaitEstimate | None]:
        """How many deliveries of an endpoint are due, up to a bound, and the wait of one more."""
        now = self._clock.now()
        backlogs = await self._database.read(lambda conn: overdue.endpoints(conn, app_id, [endpoint_id], now))
        if endpoint_id not in backlogs or not backlogs[endpoint_id].due:
            return 0, None
        one = backlogs[endpoint_id]
        return one.due, estimate(
            due_at=now,
            ahead=one.due,
            recent=one.recent,
            head_due=one.head_due,
            now=now,
            hold=self._hold() or one.hold,
        )
