"""Sends messages again: one delivery at once, or many in a background task, which it reads and cancels.

`resend` schedules one manual attempt of a delivery, whatever its state. `recover` schedules one for each
exhausted or canceled delivery in a window. `replay_missing` creates deliveries, with the full schedule, for
the messages in a window that match the endpoint now and have no delivery to it. `resend_matching` schedules
one manual attempt for each delivery that a log filter matches.

Attempts scheduled for a disabled endpoint wait until it is enabled, and are canceled when it is deleted. A
filter that names no endpoint skips disabled endpoints and does not count their deliveries.

Background tasks survive a restart, report progress, can be canceled, and can be rate-limited. Their work can
be counted in advance, in a bounded time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar
from uuid import UUID

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.errors import BadRequest, Invalid
from angarium.core.log_filter import UNDELIVERED, LogFilter
from angarium.service.attempt import message_id_of, target_of
from angarium.service.use_case import Subject, UseCase, existing
from angarium.store import background_task, log, message, requeue
from angarium.store.background_task import BackgroundTask
from angarium.store.log import Stretch
from angarium.store.message import IdRange
from angarium.store.target import hold_target

MAX_UNDELIVERED: Final = 1_000_000  # upper bound of a count of undelivered messages
MAX_COUNT: Final = 100_000  # upper bound of other counts
LOOKED_AT: Final = 5_000  # deliveries or messages that a count scans between checks of the time
PATIENCE: Final = 0.1  # seconds after which a count stops
RATE: Final = 20.0  # default deliveries per second of a resend by filter
MAX_RATE: Final = 1000.0
RECENT: Final = 14 * 86400.0  # seconds for which messages can be recovered
MAX_AGE: Final = RECENT + 300.0  # how long ago a window may begin; the minutes are for slow callers
_BEGUN: Final = {
    background_task.RECOVER: "endpoint.recover.begun",
    background_task.REPLAY: "endpoint.replay.begun",
}

_Place = TypeVar("_Place")


@dataclass(frozen=True, slots=True)
class BoundedCount:
    """A count; not `exact`: there are more."""

    number: int
    exact: bool


class Replay(UseCase):
    """Schedules deliveries again."""

    async def resend(self, app_id: UUID, message_ref: str, endpoint_ref: str) -> None:
        """Raises NotFound, or BadRequest when the payload is gone."""
        now = self._clock.now()
        async with self._database.transaction() as conn:
            message_id = await message_id_of(conn, app_id, message_ref)
            found = await target_of(conn, app_id, endpoint_ref)
            target = existing(await hold_target(conn, app_id, found.id))
            if not await message.has_payload(conn, app_id, message_id, datetime_at(now)):
                raise BadRequest(code="missing_payload")
            await requeue.resend(conn, target, message_id, datetime_at(now))
            subject = Subject(None, app_id, ids.text(ids.MESSAGE, message_id))
            after = {"endpoint": ids.text(ids.ENDPOINT, target.id)}
            await self._record(conn, "message.resent", subject, after=after)

    async def recover(
        self,
        org_id: str,
        app_id: UUID,
        endpoint_ref: str,
        since: datetime,
        until: datetime | None,
        *,
        rate: float | None = None,
    ) -> BackgroundTask:
        """Raises NotFound, or Invalid for the window.

        `rate`: maximum deliveries per second.
        """
        return await self._begin(background_task.RECOVER, org_id, app_id, endpoint_ref, since, until, rate)

    async def count_undelivered(
        self, app_id: UUID, endpoint_ref: str, since: datetime, until: datetime | None
    ) -> int:
        """How many messages `recover` would send again, at most MAX_UNDELIVERED. Raises as `recover` does."""
        after, last = self._window(since, until)
        async with self._database.connection() as conn:
            target = await target_of(conn, app_id, endpoint_ref)
            return await requeue.count_undelivered(conn, target, after, last, self._now(), MAX_UNDELIVERED)

    async def count_recoverable(
        self, app_id: UUID, endpoint_ref: str, since: datetime, until: datetime | None
    ) -> BoundedCount:
        """The same count in a bounded time. Raises as `recover` does."""
        self._window(since, until)
        async with self._database.connection() as conn:
            target = await target_of(conn, app_id, endpoint_ref)
        wanted = LogFilter(statuses=UNDELIVERED, endpoint_id=target.id, since=since, until=until)
        return await self.count_matching(app_id, wanted)

    async def replay_missing(
        self,
        org_id: str,
        app_id: UUID,
        endpoint_ref: str,
        since: datetime,
        until: datetime | None,
        *,
        rate: float | None = None,
    ) -> BackgroundTask:
        """Raises NotFound, or Invalid for the window."""
        return await self._begin(background_task.REPLAY, org_id, app_id, endpoint_ref, since, until, rate)

    async def count_missing(
        self, app_id: UUID, endpoint_ref: str, since: datetime, until: datetime | None
    ) -> BoundedCount:
        """How many messages `replay_missing` would send. Raises as it does."""
        after, last = self._window(since, until)
        now = self._now()

        async with self._database.connection() as conn:
            target = await target_of(conn, app_id, endpoint_ref)

            async def stretch(after: UUID) -> tuple[int, UUID | None]:
                end = await requeue.missing_end(conn, app_id, after, last, LOOKED_AT)
                return await requeue.count_missing(conn, target, after, end or last, now), end

            return await self._count(stretch, after)

    async def resend_matching(
        self,
        org_id: str,
        app_id: UUID,
        wanted: LogFilter,
        *,
        rate: float = RATE,
        expected: BoundedCount | None = None,
    ) -> BackgroundTask:
        """Send matching deliveries of existing messages again, oldest first. Raises Invalid.

        It skips deliveries to deleted endpoints, to disabled endpoints unless the filter names one, of
        messages without a payload, and those that already have a pending manual attempt.
        """
        wanted.check()
        _check_rate(rate)
        now = self._clock.now()
        task_id = ids.new(now, self._entropy(8))
        said = {"task": ids.text(ids.TASK, task_id), "filter": wanted.document()}
        async with self._database.transaction() as conn:
            await self._record(conn, "delivery.resend.begun", Subject(org_id, app_id), after=said)
            return await background_task.create(
                conn,
                task_id,
                org_id,
                app_id,
                background_task.RESEND,
                background_task.resend_arguments(wanted, ids.made_by(now), rate),
                datetime_at(now),
                expected=expected.number if expected is not None and expected.exact else None,
            )

    async def count_matching(self, app_id: UUID, wanted: LogFilter) -> BoundedCount:
        """How many deliveries `resend_matching` would send again. Raises Invalid for an invalid filter."""
        wanted.check()
        async with self._database.connection() as conn:
            found = await log.look_for(conn, app_id, wanted, self._now(), sendable=True)
            if found is None:
                return BoundedCount(0, exact=True)
            search, whole, _ = found

            async def stretch(left: Stretch) -> tuple[int, Stretch | None]:
                end = await log.end(conn, search, left, search.rows(LOOKED_AT), upwards=False)
                if end is None:
                    return await log.count(conn, search, left), None
                number = await log.count(conn, search, left.until(end, upwards=False))
                return number, left.beyond(end, upwards=False)

            return await self._count(stretch, whole)

    async def _count(
        self, stretch: Callable[[_Place], Awaitable[tuple[int, _Place | None]]], place: _Place
    ) -> BoundedCount:
        """Count stretch by stretch, for at most PATIENCE seconds."""
        deadline = self._clock.steady() + PATIENCE
        number, left = await stretch(place)
        while left is not None and number <= MAX_COUNT and self._clock.steady() < deadline:
            more, left = await stretch(left)
            number += more
        return BoundedCount(min(number, MAX_COUNT), exact=left is None and number <= MAX_COUNT)

    async def _begin(
        self,
        kind: str,
        org_id: str,
        app_id: UUID,
        endpoint_ref: str,
        since: datetime,
        until: datetime | None,
        rate: float | None,
    ) -> BackgroundTask:
        after, last = self._window(since, until)
        _check_rate(rate)
        now = self._clock.now()
        async with self._database.transaction() as conn:
            target = await target_of(conn, app_id, endpoint_ref)
            arguments = background_task.window_arguments(target.id, after, last, rate)
            task_id = ids.new(now, self._entropy(8))
            window = {
                "since": since.isoformat(),
                "until": datetime_at(now if until is None else min(now, until.timestamp())).isoformat(),
            }
            said = {"task": ids.text(ids.TASK, task_id), **window}
            subject = Subject(org_id, app_id, ids.text(ids.ENDPOINT, target.id))
            await self._record(conn, _BEGUN[kind], subject, after=said)
            return await background_task.create(
                conn, task_id, org_id, app_id, kind, arguments, datetime_at(now)
            )

    def _window(self, since: datetime, until: datetime | None) -> tuple[UUID, UUID]:
        """The ids of a window: after the first, up to and including the second. Raises Invalid."""
        now = self._clock.now()
        start, end = since.timestamp(), now if until is None else until.timestamp()
        if start < now - MAX_AGE:
            raise Invalid.field("since", "Cannot recover messages more than 14 days old.")
        if until is not None and end <= start:
            raise Invalid.field("until", "Must be later than since.")
        # includes `since`; messages accepted from now on are not undelivered, so it ends now at the latest
        last = ids.highest(end) if end < now else ids.made_by(now)
        return UUID(int=max(0, ids.lowest(start).int - 1)), last


def _check_rate(rate: float | None) -> None:
    """Raises Invalid."""
    if rate is not None and not 0 < rate <= MAX_RATE:
        raise Invalid.field("rate", f"Must be a number of deliveries per second, up to {MAX_RATE:g}.")


class BackgroundTasks(UseCase):
    """Reads and cancels background tasks."""

    async def get(self, org_id: str, ref: str) -> BackgroundTask:
        """Raises NotFound."""
        task_id = existing(ids.parse(ids.TASK, ref))
        async with self._database.connection() as conn:
            return existing(await background_task.get(conn, org_id, task_id))

    async def of_application(self, app_id: UUID, limit: int = 20) -> Sequence[BackgroundTask]:
        """The newest tasks of an application, including those started in the portal."""
        async with self._database.connection() as conn:
            return await background_task.of_application(conn, app_id, limit)

    async def one(self, app_id: UUID, ref: str) -> BackgroundTask:
        """One task of an application. Raises NotFound."""
        task_id = existing(ids.parse(ids.TASK, ref))
        async with self._database.connection() as conn:
            return existing(await background_task.find(conn, app_id, task_id))

    async def cancel(self, app_id: UUID, ref: str) -> BackgroundTask:
        """Stop the task; work that is done stays done. A finished task is unchanged. Raises NotFound."""
        before = await self.one(app_id, ref)
        now = self._clock.now()
        async with self._database.transaction() as conn:
            canceled = await background_task.cancel(conn, app_id, before.id, datetime_at(now))
            if canceled is not None:
                subject = Subject(canceled.org_id, app_id, ids.text(ids.TASK, canceled.id))
                await self._record(conn, "task.canceled", subject, after=canceled.data)
        return canceled or await self.one(app_id, ref)

    async def page(
        self,
        org_id: str,
        cursor: UUID | None,
        *,
        ascending: bool,
        limit: int,
        kind: str | None = None,
        status: str | None = None,
    ) -> Sequence[BackgroundTask]:
        """The organization's tasks on the far side of the cursor."""
        tasks = IdRange.beyond(cursor, limit, upwards=ascending)
        async with self._database.connection() as conn:
            return await background_task.page(conn, org_id, tasks, kind=kind, status=status)
