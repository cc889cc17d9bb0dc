"""Adds and reads counts of attempts by endpoint and hour, for charts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from angarium.clock import datetime_at
from angarium.core.hourly_stats import WHOLE, HourCount
from angarium.store.connection import Connection
from angarium.store.sql import queries

_ENOUGH: Final = 20  # attempts
_OFTEN: Final = 0.1  # fraction of attempts


@dataclass(frozen=True, slots=True)
class EndpointHealth:
    """The recent results and the health of an endpoint."""

    delivered: int  # attempts of the recent hours
    failed: int
    last_failed_at: datetime | None
    last_error_code: str | None
    failing_since: datetime | None  # every attempt since then has failed; None: the last one succeeded
    failures: int  # in a row
    disabled_at: datetime | None
    disabled_reason: str | None

    @property
    def error_rate(self) -> float | None:
        """The fraction of recent attempts that failed, 0 to 1; None if there were none."""
        attempts = self.delivered + self.failed
        return self.failed / attempts if attempts else None

    @property
    def unsteady(self) -> bool:
        """Whether enough recent attempts failed to mention it. False if there were few attempts."""
        return self.delivered + self.failed >= _ENOUGH and (self.error_rate or 0.0) >= _OFTEN


async def add(conn: Connection, counts: Sequence[HourCount]) -> None:
    """Add counts to those of their hours. An endpoint and hour may occur only once."""
    await queries.stats_add(
        conn,
        app_ids=[one.app_id for one in counts],
        endpoint_ids=[one.endpoint_id for one in counts],
        hours=[datetime_at(one.hour) for one in counts],
        delivered=[one.delivered for one in counts],
        failed=[one.failed for one in counts],
        latencies=[" ".join(map(str, one.latency)) for one in counts],
        failed_at=[None if one.failed_at is None else datetime_at(one.failed_at) for one in counts],
        error_codes=[one.error_code for one in counts],
    )


async def hours(conn: Connection, app_id: UUID, endpoint_id: UUID | None, since: datetime) -> list[HourCount]:
    """The hourly counts of an endpoint, or of the whole application, since an hour, oldest first."""
    endpoint_id = endpoint_id or WHOLE
    return [
        HourCount(
            app_id,
            endpoint_id,
            int(row["hour"].timestamp()),
            row["delivered"],
            row["failed"],
            tuple(row["latency"]),
        )
        async for row in queries.stats_hours(conn, app_id=app_id, endpoint_id=endpoint_id, since=since)
    ]


async def health(
    conn: Connection, app_id: UUID, endpoint_ids: Sequence[UUID], recent: datetime, since: datetime
) -> dict[UUID, EndpointHealth]:
    """The health of these endpoints: attempts since `recent`, the last failure since `since`."""
    rows = queries.stats_health(conn, app_id=app_id, endpoint_ids=endpoint_ids, recent=recent, since=since)
    return {
        row["id"]: EndpointHealth(
            delivered=row["delivered"],
            failed=row["failed"],
            last_failed_at=row["failed_at"],
            last_error_code=row["error_code"],
            failing_since=row["failing_since"],
            failures=row["failures"],
            disabled_at=row["disabled_at"],
            disabled_reason=row["disabled_reason"],
        )
        async for row in rows
    }
