"""Reads attempts, the messages of an endpoint, and the endpoints of a message.

The attempts of one endpoint are also a log, newest first, with recent failures grouped by kind. A page of it
scans a bounded number of attempts. When few match, it says how far back it searched.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Final
from uuid import UUID

from angarium.clock import Clock, datetime_at
from angarium.core import ids
from angarium.core.audit import AuditEvent
from angarium.core.errors import NotFound
from angarium.core.log_filter import LogStatus, log_status
from angarium.core.nouns import Attempt, AttemptStatus, Delivery
from angarium.service import audit
from angarium.service.log import Window
from angarium.store import attempt as store
from angarium.store import delivery, message
from angarium.store.attempt import AttemptFilter, Recorded
from angarium.store.connection import Connection
from angarium.store.database import Database
from angarium.store.delivery import DeliveryMessage, Destination
from angarium.store.message import Filter, IdRange
from angarium.store.stretch import AHEAD
from angarium.store.target import ReplayTarget, find_target

LOOKED: Final = 20_000  # attempts that one page scans
FAILURES: Final = 200  # that are grouped
_LOWEST: Final = UUID(int=0)


class Status(IntEnum):
    """The status of a delivery or an attempt, as APIs show it."""

    SUCCESS = 0
    PENDING = 1  # not attempted yet
    FAIL = 2
    SENDING = 3  # failed, and to be retried
    CANCELED = 4


ATTEMPT_STATUSES: Final = {Status.SUCCESS: AttemptStatus.SUCCESS, Status.FAIL: AttemptStatus.FAIL}


_STATUS: Final = {
    LogStatus.DELIVERED: Status.SUCCESS,
    LogStatus.WAITING: Status.PENDING,
    LogStatus.RETRYING: Status.SENDING,
    LogStatus.FAILED: Status.FAIL,
    LogStatus.CANCELED: Status.CANCELED,
}
EXPANDED: Final = frozenset({Status.SENDING, Status.CANCELED})
"""Statuses that Svix's open server reports as FAIL. Clients get them only on request."""


def _shown(status: LogStatus, *, expanded: bool) -> Status:
    shown = _STATUS[status]
    return Status.FAIL if shown in EXPANDED and not expanded else shown


def status_of(delivery: Delivery, *, expanded: bool) -> Status:
    """The status of a delivery, with or without expanded statuses."""
    return _shown(log_status(delivery.state, delivery.failures), expanded=expanded)


def looking_like(status: Status | None, *, expanded: bool) -> frozenset[LogStatus] | None:
    """The log statuses that are shown as this status; None: all."""
    if status is None:
        return None
    return frozenset(one for one in LogStatus if _shown(one, expanded=expanded) is status)


async def target_of(conn: Connection, app_id: UUID, ref: str) -> ReplayTarget:
    """The endpoint with this id or uid. Raises NotFound."""
    endpoint_id = ids.parse(ids.ENDPOINT, ref)
    found = await find_target(conn, app_id, endpoint_id=endpoint_id, uid=ref)
    if found is None:
        raise NotFound()
    return found


async def message_id_of(conn: Connection, app_id: UUID, ref: str) -> UUID:
    """The id of the message with this id or event id. Raises NotFound."""
    message_id = await message.find(conn, app_id, ref)
    if message_id is None or not await message.exists(conn, app_id, message_id):
        raise NotFound()
    return message_id


@dataclass(frozen=True, slots=True)
class Logged:
    """An attempt as a line of a log. `retry_at`: when the next attempt is due, if this is the latest."""

    attempt: Attempt
    event_type: str
    retry_at: datetime | None


class Attempts:
    """Reads attempts and deliveries, and deletes response bodies."""

    def __init__(
        self, database: Database, clock: Clock, entropy: Callable[[int], bytes] = os.urandom
    ) -> None:
        self._database = database
        self._clock = clock
        self._entropy = entropy

    async def get(self, app_id: UUID, message_ref: str, attempt_ref: str) -> Recorded:
        """Raises NotFound."""
        async with self._database.connection() as conn:
            message_id = await message_id_of(conn, app_id, message_ref)
            attempt_id = ids.parse(ids.ATTEMPT, attempt_ref)
            found = attempt_id and await store.get(conn, app_id, message_id, attempt_id)
        if not found:
            raise NotFound()
        return found

    async def expunge(self, app_id: UUID, message_ref: str, attempt_ref: str) -> None:
        """Delete the response body. Raises NotFound."""
        async with self._database.transaction() as conn:
            message_id = await message_id_of(conn, app_id, message_ref)
            attempt_id = ids.parse(ids.ATTEMPT, attempt_ref)
            if attempt_id is None or not await store.expunge(conn, app_id, message_id, attempt_id):
                raise NotFound()
            audit_event = AuditEvent(None, app_id, "attempt.expunged", ids.text(ids.ATTEMPT, attempt_id))
            await audit.record(conn, self._clock.now(), self._entropy, audit_event)

    async def by_endpoint(
        self,
        app_id: UUID,
        endpoint_ref: str,
        window: Window,
        like: AttemptFilter,
        wanted: Filter,
        *,
        content: bool,
    ) -> Sequence[Recorded]:
        """The attempts of an endpoint, in the direction of reading. Raises NotFound."""
        page = window.page(self._clock.now())

        async def look(conn: Connection) -> Sequence[Recorded]:
            target = await target_of(conn, app_id, endpoint_ref)
            return await store.by_endpoint(conn, app_id, target.id, page, like, wanted, with_response=content)

        return await self._database.read(look)

    async def log(
        self, app_id: UUID, endpoint_ref: str, window: Window, like: AttemptFilter
    ) -> Sequence[Logged]:
        """The attempts of an endpoint with the times of retries, in the direction of reading.

        Raises NotFound.
        """
        page = window.page(self._clock.now())

        async def look(conn: Connection) -> tuple[Sequence[Recorded], Mapping[UUID, tuple[int, datetime]]]:
            target = await target_of(conn, app_id, endpoint_ref)
            found = await store.by_endpoint(
                conn, app_id, target.id, page, like, Filter(), with_response=False
            )
            messages = {one.attempt.message_id for one in found}
            return found, await delivery.retries(conn, app_id, target.id, messages)

        found, owed = await self._database.read(look)
        return [_line(one, owed) for one in found]

    async def by_message(
        self,
        app_id: UUID,
        message_ref: str,
        endpoint_ref: str | None,
        window: Window,
        like: AttemptFilter,
        wanted: Filter,
        *,
        content: bool,
    ) -> Sequence[Recorded]:
        """The attempts of a message, at one endpoint or all, including deleted ones. Raises NotFound."""
        page = window.page(self._clock.now())

        async def look(conn: Connection) -> Sequence[Recorded]:
            message_id = await message_id_of(conn, app_id, message_ref)
            of_one = like
            if endpoint_ref is not None:
                # a deleted endpoint is found by its id: its attempts are history
                endpoint_id = ids.parse(ids.ENDPOINT, endpoint_ref)
                endpoint_id = endpoint_id or (await target_of(conn, app_id, endpoint_ref)).id
                of_one = AttemptFilter(like.status, like.status_code_class, endpoint_id)
            return await store.by_message(
                conn, app_id, message_id, page, of_one, wanted, with_response=content
            )

        return await self._database.read(look)

    async def messages(
        self,
        app_id: UUID,
        endpoint_ref: str,
        window: Window,
        wanted: Filter,
        *,
        statuses: Collection[LogStatus] | None,
        content: bool,
    ) -> Sequence[DeliveryMessage]:
        """The deliveries of an endpoint with their messages, in the direction of reading. Raises NotFound."""
        now = self._clock.now()
        page = window.page(now)

        async def look(conn: Connection) -> Sequence[DeliveryMessage]:
            target = await target_of(conn, app_id, endpoint_ref)
            return await delivery.owed_by_endpoint(
                conn,
                app_id,
                target.id,
                page,
                wanted,
                datetime_at(now),
                statuses=statuses,
                with_payload=content,
            )

        return await self._database.read(look)

    async def destinations(
        self, app_id: UUID, message_ref: str, cursor: UUID | None, *, backwards: bool, rows: int
    ) -> Sequence[Destination]:
        """The endpoints that a message has deliveries for, oldest first unless backwards. Raises NotFound."""
        low, high = UUID(int=0), UUID(int=(1 << 128) - 1)
        if cursor is not None:
            low, high = (low, cursor) if backwards else (cursor, high)

        async def look(conn: Connection) -> Sequence[Destination]:
            message_id = await message_id_of(conn, app_id, message_ref)
            return await delivery.destinations(
                conn, app_id, message_id, IdRange(low, high, rows, upwards=not backwards)
            )

        return await self._database.read(look)


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
