"""Lists the attempts of one endpoint, newest first, and groups recent failures by kind.

A page scans a bounded number of attempts. When few match, it says how far back it searched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from angarium.clock import Clock, datetime_at
from angarium.core import ids
from angarium.core.nouns import Attempt, AttemptStatus
from angarium.service.attempt import Logged
from angarium.store import attempt as store
from angarium.store import delivery
from angarium.store.attempt import AttemptFilter, Recorded
from angarium.store.connection import Connection
from angarium.store.database import Database
from angarium.store.message import Filter, IdRange
from angarium.store.stretch import AHEAD

LOOKED: Final = 20_000  # attempts that one page scans
FAILURES: Final = 200  # that are grouped
_LOWEST: Final = UUID(int=0)


@dataclass(frozen=True, slots=True)
class LogPart:
    """Attempts, newest first. `older`: the next cursor; `searched_to`: where a bounded search stopped."""

    lines: tuple[Logged, ...]
    older: UUID | None
    searched_to: datetime | None


@dataclass(frozen=True, slots=True)
class Reason:
    """A kind of failure: how many recent attempts, and the newest of them, which has the error text."""

    count: int
    latest: Attempt
    event_type: str


class EndpointLog:
    """Reads the attempts of one endpoint."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def page(
        self,
        app_id: UUID,
        endpoint_id: UUID,
        before: UUID | None,
        status: AttemptStatus | None,
        rows: int,
    ) -> LogPart:
        """Up to `rows` attempts older than `before`."""
        high = before or ids.highest(self._clock.now() + AHEAD)

        async def look(conn: Connection) -> LogPart:
            end = None
            if status is not None:
                end = await store.reach(conn, app_id, endpoint_id, high, LOOKED)
            found = await self._look(
                conn, app_id, endpoint_id, IdRange(end or _LOWEST, high, rows + 1), AttemptFilter(status)
            )
            shown = found[:rows]
            owed = await delivery.retries(
                conn, app_id, endpoint_id, {one.attempt.message_id for one in shown}
            )
            lines = tuple(_line(one, owed) for one in shown)
            if len(found) > rows:
                return LogPart(lines, shown[-1].attempt.id, None)
            if end is None:
                return LogPart(lines, None, None)
            return LogPart(lines, UUID(int=end.int + 1), datetime_at(ids.created_at(end)))

        return await self._database.read(look)

    async def reasons(self, app_id: UUID, endpoint_id: UUID, since: float) -> list[Reason]:
        """Why attempts failed, the most frequent reason first. Only the newest failures are read."""
        high = ids.highest(self._clock.now() + AHEAD)

        async def look(conn: Connection) -> list[Recorded]:
            end = await store.reach(conn, app_id, endpoint_id, high, LOOKED)
            low = max(end or _LOWEST, ids.lowest(since))
            return await self._look(
                conn, app_id, endpoint_id, IdRange(low, high, FAILURES), AttemptFilter(AttemptStatus.FAIL)
            )

        return grouped(await self._database.read(look))

    async def _look(
        self, conn: Connection, app_id: UUID, endpoint_id: UUID, page: IdRange, like: AttemptFilter
    ) -> list[Recorded]:
        return await store.by_endpoint(conn, app_id, endpoint_id, page, like, Filter(), with_response=False)


def grouped(found: Iterable[Recorded]) -> list[Reason]:
    """Group failures, given newest first, by kind."""
    kinds: dict[str | None, list[Recorded]] = {}
    for one in found:
        kinds.setdefault(one.attempt.error_code, []).append(one)
    reasons = [Reason(len(kind), kind[0].attempt, _type(kind[0])) for kind in kinds.values()]
    return sorted(reasons, key=lambda reason: reason.count, reverse=True)


def _line(one: Recorded, owed: Mapping[UUID, tuple[int, datetime]]) -> Logged:
    number, retry_at = owed.get(one.attempt.message_id, (0, None))
    last = one.attempt.number == number
    return Logged(one.attempt, _type(one), retry_at if last else None)


def _type(one: Recorded) -> str:
    return "" if one.message is None else one.message.event_type
