"""Reads the log of an application: its deliveries over all endpoints, by message and then by endpoint.

The filter decides which index a query walks along: the messages, the deliveries of one endpoint, or the
failing deliveries if no others can match. A walk goes one stretch at a time. `end` computes how far a stretch
of a given number of rows reaches, and `page` and `count` stay within it, so no filter is slow, however large
the database.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from angarium.core import ids
from angarium.core.log_filter import LogFilter, LogKey, LogStatus, log_status
from angarium.core.nouns import State
from angarium.core.patterns import EVERYTHING, is_wildcard
from angarium.store import message
from angarium.store.connection import Connection, Row
from angarium.store.shard import shard_of
from angarium.store.sql import queries, walk
from angarium.store.stretch import AHEAD, HIGHEST, LOWEST, nearest

_LATEST: Final = 253_402_300_799.0  # the last second of the year 9999
_RETRYING: Final = 3  # in SQL: PENDING with a failed attempt
_STATUS: Final = {
    LogStatus.DELIVERED: State.DELIVERED.value,
    LogStatus.WAITING: State.PENDING.value,
    LogStatus.RETRYING: _RETRYING,
    LogStatus.FAILED: State.EXHAUSTED.value,
    LogStatus.CANCELED: State.CANCELED.value,
}


@dataclass(frozen=True, slots=True)
class LogEndpoint:
    """An endpoint as the log shows it."""

    id: UUID
    url: str
    name: str | None
    description: str
    disabled: bool
    deleted_at: datetime | None

    @property
    def deleted(self) -> bool:
        return self.deleted_at is not None


@dataclass(frozen=True, slots=True)
class LogRow:
    """A delivery with the columns of its message that the log shows."""

    message_id: UUID
    event_id: str | None
    event_type: str
    tags: tuple[str, ...]
    channels: tuple[str, ...]
    kept: bool  # the payload still exists
    endpoint_id: UUID
    state: State
    failures: int
    attempts: int
    status_code: int | None  # of the last attempt; 0: no HTTP response, None: no attempt yet
    error_code: str | None
    due_at: datetime | None
    resume_at: datetime | None  # when the schedule continues after a requested manual attempt
    manual_at: datetime | None

    @property
    def key(self) -> LogKey:
        return LogKey(self.message_id, self.endpoint_id)

    @property
    def waiting(self) -> bool:
        """Whether the delivery is sent as soon as the endpoint is enabled."""
        return self.due_at is None and (self.manual_at is not None or self.state is State.PENDING)

    @property
    def status(self) -> LogStatus:
        return log_status(self.state, self.failures)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of the log between two keys, which are excluded."""

    low: LogKey
    high: LogKey

    def until(self, end: LogKey, *, upwards: bool) -> Stretch:
        """The part before `end`, the end of a walk."""
        return replace(self, high=end) if upwards else replace(self, low=end)

    def after(self, key: LogKey, *, upwards: bool) -> Stretch:
        """The part after a key, which is excluded."""
        return replace(self, low=key) if upwards else replace(self, high=key)

    def beyond(self, end: LogKey, *, upwards: bool) -> Stretch:
        """The part from `end`, the end of a walk, which is included."""
        return replace(self, low=just_below(end)) if upwards else replace(self, high=just_above(end))


@dataclass(frozen=True, slots=True)
class Search:
    """A search in the log of an application. `sendable`: only deliveries that could be sent again `now`."""

    app_id: UUID
    endpoint_ids: Sequence[UUID]  # of all endpoints to search
    wanted: LogFilter
    now: datetime
    sendable: bool = False
    deleted: Mapping[UUID, datetime] = field(default_factory=dict)  # when endpoints to search were deleted

    @property
    def walk(self) -> str:
        """The name of the walk, which says what it goes along."""
        if self.wanted.endpoint_id is None:
            return "failing" if self.wanted.failing else "message"
        return "endpoint_failing" if self.wanted.failing else "endpoint"

    @property
    def reading(self) -> str:
        """The name of the query that reads a stretch of the walk."""
        wanted = self.wanted
        of_messages = wanted.event_type is not None or wanted.tag is not None or wanted.channel is not None
        return f"{self.walk}_among" if of_messages and self.walk != "message" else self.walk

    @property
    def unfiltered(self) -> bool:
        """Whether every row of the walk matches, so that a page reads no more rows than it has lines. False
        for a walk along messages, because many of them may have no delivery."""
        wanted = self.wanted
        place = LogFilter(
            endpoint_id=wanted.endpoint_id, message=wanted.message, since=wanted.since, until=wanted.until
        )
        return self.walk == "endpoint" and wanted == place and not self.sendable

    def rows(self, deliveries: int) -> int:
        """The number of rows of the walk that have about this many deliveries."""
        if self.walk != "message":
            return deliveries
        return max(1, deliveries // max(1, len(self.endpoint_ids)))

    def since(self, message_id: UUID) -> Search:
        """The search for this message and later ones, without the endpoints that were deleted before it."""
        if not self.deleted:
            return self
        since = had_by(message_id)
        living = [one for one in self.endpoint_ids if one not in self.deleted or self.deleted[one] >= since]
        return replace(self, endpoint_ids=living)

    def _lanes(self) -> dict[str, Any]:
        """The shards in which deliveries that were never attempted are found."""
        endpoint_id = self.wanted.endpoint_id
        return {
            "shard": None if endpoint_id is None else shard_of(endpoint_id),
            "shards": [shard_of(one) for one in self.endpoint_ids],
        }

    def parameters(self) -> dict[str, Any]:
        wanted = self.wanted
        wildcard = wanted.event_type is not None and is_wildcard(wanted.event_type)
        exact = None if wildcard else wanted.event_type
        prefix = wanted.event_type[:-1] if wildcard and wanted.event_type != EVERYTHING else None  # type: ignore[index]
        return {
            "app_id": self.app_id,
            "endpoint_id": wanted.endpoint_id,
            "endpoint_ids": self.endpoint_ids,
            **self._lanes(),
            "statuses": numbers(wanted.statuses) or None,
            "http_low": None if wanted.http_class is None else wanted.http_class * 100,
            "error_kind": wanted.error_kind,
            "event_type": exact,
            "event_prefix": prefix,
            "tag": wanted.tag,
            "channel": wanted.channel,
            "sendable": self.sendable,
            "now": self.now,
            "reach": None,
        }


def had_by(message_id: UUID) -> datetime:
    """The earliest time at which an endpoint can have been deleted that has a delivery of this message."""
    return datetime.fromtimestamp(min(max(0.0, ids.created_at(message_id) - AHEAD), _LATEST), UTC)


def numbers(statuses: Collection[LogStatus]) -> list[int]:
    """The statuses as numbers, as SQL uses them."""
    return sorted(_STATUS[status] for status in statuses)


def of_message(message_id: UUID) -> Stretch:
    """The stretch of one message's deliveries."""
    return Stretch(LogKey(message_id, LOWEST), LogKey(message_id, HIGHEST))


def just_below(key: LogKey) -> LogKey:
    return LogKey(key.message_id, UUID(int=max(0, key.endpoint_id.int - 1)))


def just_above(key: LogKey) -> LogKey:
    return LogKey(key.message_id, UUID(int=min(HIGHEST.int, key.endpoint_id.int + 1)))


async def endpoints(conn: Connection, app_id: UUID, since: UUID = LOWEST) -> list[LogEndpoint]:
    """The endpoints of an application that may have a delivery of this message or a later one, including
    deleted ones."""
    return [
        LogEndpoint(
            row["id"], row["url"], row["name"], row["description"], row["disabled"], row["deleted_at"]
        )
        async for row in queries.log_endpoints(conn, app_id=app_id, since=had_by(since))
    ]


async def look_for(
    conn: Connection, app_id: UUID, wanted: LogFilter, now: datetime, *, sendable: bool = False
) -> tuple[Search, Stretch, Mapping[UUID, LogEndpoint]] | None:
    """The search for a filter, the part of the log to search, and the endpoints. None: nothing can match."""
    low = LOWEST if wanted.since is None else ids.lowest(wanted.since.timestamp())
    known = {
        one.id: one
        for one in await endpoints(conn, app_id, low)
        if not sendable or not (one.deleted or (one.disabled and one.id != wanted.endpoint_id))
    }
    endpoint_ids = [one for one in known if wanted.endpoint_id in (None, one)]
    if not endpoint_ids:
        return None
    # no further, because the planner would include the partitions that are created ahead
    high = ids.highest((now.timestamp() + AHEAD) if wanted.until is None else wanted.until.timestamp())
    stretch = Stretch(LogKey(low, LOWEST), LogKey(high, HIGHEST))
    if wanted.message is not None:
        message_id = await message.find(conn, app_id, wanted.message)
        if message_id is None:
            return None
        one = of_message(message_id)
        stretch = Stretch(max(stretch.low, one.low), min(stretch.high, one.high))
    deleted = {one: at for one in endpoint_ids if (at := known[one].deleted_at) is not None}
    return Search(app_id, endpoint_ids, wanted, now, sendable, deleted), stretch, known


async def reach(
    conn: Connection, search: Search, stretch: Stretch, deliveries: int, *, upwards: bool
) -> tuple[LogKey | None, Search]:
    """How far a walk along about this many deliveries reaches (see `end`), and the search in this part.

    A walk along messages looks for each at all endpoints of its time. Endpoints that were deleted before cost
    nothing, however many they are.
    """
    rows = search.since((stretch.low if upwards else stretch.high).message_id).rows(deliveries)
    while True:
        at = await end(conn, search, stretch, rows, upwards=upwards)
        if not search.deleted:
            return at, search
        oldest = stretch.low if upwards else at or await end(conn, search, stretch, 0, upwards=True)
        within = search.since(oldest.message_id if oldest else HIGHEST)
        if rows <= 2 * within.rows(deliveries):
            return at, within
        rows = max(rows // 4, within.rows(deliveries))  # more endpoints were not deleted yet at that time


async def end(
    conn: Connection, search: Search, stretch: Stretch, rows: int, *, upwards: bool
) -> LogKey | None:
    """The first key that a walk over `rows` rows of the stretch does not reach; None: it reaches all."""
    endpoint_id = search.wanted.endpoint_id
    query = walk(f"log_{search.walk}_end", upwards=upwards)
    place = {"app_id": search.app_id, "rows": rows, "reach": rows + 1}
    if endpoint_id is not None:
        place |= {"endpoint_id": endpoint_id, "shard": shard_of(endpoint_id)}

    async def look(low: UUID, high: UUID) -> LogKey | None:
        part = Stretch(max(stretch.low, LogKey(low, LOWEST)), min(stretch.high, LogKey(high, HIGHEST)))
        found = await query(conn, **place, **bounds(part))
        if found is None:
            return None
        if search.walk == "failing":
            return LogKey(found["message_id"], found["endpoint_id"])
        # nothing of this message was read, so the end is before all its deliveries
        return LogKey(found, LOWEST if upwards else HIGHEST)

    low, high = stretch.low.message_id, stretch.high.message_id
    return await nearest(low, high, search.now, look, upwards=upwards)


async def page(
    conn: Connection, search: Search, stretch: Stretch, limit: int, *, upwards: bool
) -> list[LogRow]:
    """The first `limit` matches in a stretch, in the order of the walk."""
    query = walk(f"log_{search.reading}", upwards=upwards)
    rows = [row async for row in query(conn, **search.parameters(), **bounds(stretch), limit=limit)]
    kept = await message.kept(conn, {row["message_id"]: row["expires_at"] for row in rows}, search.now)
    return [_row(row, kept=row["message_id"] in kept) for row in rows]


async def count(conn: Connection, search: Search, stretch: Stretch) -> int:
    """The number of matches in a stretch."""
    query = getattr(queries, f"log_{search.reading}_count")
    return int(await query(conn, **search.parameters(), **bounds(stretch)))


def bounds(stretch: Stretch) -> dict[str, UUID]:
    """The stretch as parameters of a query."""
    return {
        "low_message": stretch.low.message_id,
        "low_endpoint": stretch.low.endpoint_id,
        "high_message": stretch.high.message_id,
        "high_endpoint": stretch.high.endpoint_id,
    }


def _row(row: Row, *, kept: bool) -> LogRow:
    return LogRow(
        message_id=row["message_id"],
        event_id=row["event_id"],
        event_type=row["event_type"],
        tags=tuple(row["tags"] or ()),
        channels=tuple(row["channels"] or ()),
        kept=kept,
        endpoint_id=row["endpoint_id"],
        state=State(row["state"]),
        failures=row["failures"],
        attempts=row["attempts"],
        status_code=row["status_code"],
        error_code=row["error_code"],
        due_at=row["due_at"],
        resume_at=row["resume_at"],
        manual_at=row["manual_at"],
    )
