"""Reads attempts, the messages of an endpoint, and the endpoints of a message.

The attempts of one endpoint are also a log, newest first, with recent failures grouped by kind. A page of it
scans a bounded number of attempts. When few match, it says how far back it searched.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Final
from uuid import UUID

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.errors import NotFound
from angarium.core.log_filter import LogStatus, log_status
from angarium.core.nouns import Attempt, AttemptStatus, Delivery
from angarium.service.log import Window
from angarium.service.use_case import Subject, UseCase, existing
from angarium.store import attempt as store
from angarium.store import delivery, message
from angarium.store.attempt import AttemptFilter, Recorded
from angarium.store.connection import Connection
from angarium.store.delivery import DeliveryMessage, Destination
from angarium.store.message import Filter, IdRange
from angarium.store.stretch import AHEAD, LOWEST
from angarium.store.target import ReplayTarget, find_target

LOOKED: Final = 20_000  # attempts that one page scans
FAILURES: Final = 200  # that are grouped


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
    return existing(await find_target(conn, app_id, endpoint_id=endpoint_id, uid=ref))


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


class Attempts(UseCase):
    """Reads attempts and deliveries, and deletes response bodies."""

    async def get(self, app_id: UUID, message_ref: str, attempt_ref: str) -> Recorded:
        """Raises NotFound."""
        async with self._database.connection() as conn:
            message_id = await message_id_of(conn, app_id, message_ref)
            attempt_id = existing(ids.parse(ids.ATTEMPT, attempt_ref))
            return existing(await store.get(conn, app_id, message_id, attempt_id))

    async def expunge(self, app_id: UUID, message_ref: str, attempt_ref: str) -> None:
        """Delete the response body. Raises NotFound."""
        async with self._database.transaction() as conn:
            message_id = await message_id_of(conn, app_id, message_ref)
            attempt_id = existing(ids.parse(ids.ATTEMPT, attempt_ref))
            if not await store.expunge(conn, app_id, message_id, attempt_id):
                raise NotFound()
            subject = Subject(None, app_id, ids.text(ids.ATTEMPT, attempt_id))
            await self._record(conn, "attempt.expunged", subject)

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

        async def look(conn: Connection) -> Sequence[Logged]:
            target = await target_of(conn, app_id, endpoint_ref)
            return await _logged(conn, app_id, target.id, await _look(conn, app_id, target.id, page, like))

        return await self._database.read(look)

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
            return await delivery.by_endpoint(
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
        page = IdRange.beyond(cursor, rows, upwards=not backwards)

        async def look(conn: Connection) -> Sequence[Destination]:
            message_id = await message_id_of(conn, app_id, message_ref)
            return await delivery.destinations(conn, app_id, message_id, page)

        return await self._database.read(look)

    async def newest(
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
            page = IdRange(end or LOWEST, high, rows + 1)
            found = await _look(conn, app_id, endpoint_id, page, AttemptFilter(status))
            lines = tuple(await _logged(conn, app_id, endpoint_id, found[:rows]))
            if len(found) > rows:
                return LogPart(lines, lines[-1].attempt.id, None)
            if end is None:
                return LogPart(lines, None, None)
            return LogPart(lines, UUID(int=end.int + 1), datetime_at(ids.created_at(end)))

        return await self._database.read(look)

    async def reasons(self, app_id: UUID, endpoint_id: UUID, since: float) -> list[Reason]:
        """Why attempts failed, the most frequent reason first. Only the newest failures are read."""
        high = ids.highest(self._clock.now() + AHEAD)

        async def look(conn: Connection) -> list[Recorded]:
            end = await store.reach(conn, app_id, endpoint_id, high, LOOKED)
            page = IdRange(max(end or LOWEST, ids.lowest(since)), high, FAILURES)
            return await _look(conn, app_id, endpoint_id, page, AttemptFilter(AttemptStatus.FAIL))

        return grouped(await self._database.read(look))


async def _look(
    conn: Connection, app_id: UUID, endpoint_id: UUID, page: IdRange, like: AttemptFilter
) -> list[Recorded]:
    return await store.by_endpoint(conn, app_id, endpoint_id, page, like, Filter(), with_response=False)


async def _logged(
    conn: Connection, app_id: UUID, endpoint_id: UUID, found: Sequence[Recorded]
) -> list[Logged]:
    """Attempts of an endpoint as lines of its log."""
    messages = {one.attempt.message_id for one in found}
    retries = await delivery.retries(conn, app_id, endpoint_id, messages)
    lines = []
    for one in found:
        number, retry_at = retries.get(one.attempt.message_id, (0, None))
        lines.append(Logged(one.attempt, _type(one), retry_at if one.attempt.number == number else None))
    return lines


def grouped(found: Iterable[Recorded]) -> list[Reason]:
    """Group failures, given newest first, by kind."""
    kinds: dict[str | None, list[Recorded]] = {}
    for one in found:
        kinds.setdefault(one.attempt.error_code, []).append(one)
    reasons = [Reason(len(kind), kind[0].attempt, _type(kind[0])) for kind in kinds.values()]
    return sorted(reasons, key=lambda reason: reason.count, reverse=True)


def _type(one: Recorded) -> str:
    return "" if one.message is None else one.message.event_type
