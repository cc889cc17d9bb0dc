"""Reads delivery statistics of an application for charts and endpoint lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from angarium.clock import Clock, datetime_at
from angarium.core.hourly_stats import HOUR, Point, Span, point
from angarium.store import hourly_stats
from angarium.store.database import Database
from angarium.store.hourly_stats import EndpointHealth


@dataclass(frozen=True, slots=True)
class Series:
    """The points of a chart, oldest first and without gaps, and their total."""

    points: tuple[Point, ...]
    total: Point


_UNKNOWN: Final = EndpointHealth(0, 0, None, None, None, 0, None, None)


class Overview:
    """Reads attempt counts, which lag a few seconds behind the log."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

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
