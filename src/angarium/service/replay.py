"""Send again: one delivery at once, or many by a background task.

`resend` owes one manual attempt, whatever became of the delivery before. `recover` owes one to each
exhausted or canceled delivery of a window. `replay_missing` owes an endpoint the messages of a window
that it wants today and never was owed, with the whole schedule.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final
from uuid import UUID

from angarium.clock import Clock, datetime_at
from angarium.core import ids
from angarium.core.audit import Deed
from angarium.core.errors import BadRequest, Invalid, NotFound
from angarium.service import audit
from angarium.service.attempt import message_id_of, target_of
from angarium.store import background_task, delivery, message
from angarium.store.background_task import BackgroundTask
from angarium.store.database import Database
from angarium.store.delivery import Target

MAX_COUNT: Final = 1_000_000  # what a count of lost deliveries goes up to
MAX_AGE: Final = 14 * 86400.0 + 300.0  # how long ago a window may begin; some minutes for slow callers
_BEGUN: Final = {
    background_task.RECOVER: "endpoint.recover.begun",
    background_task.REPLAY: "endpoint.replay.begun",
}


class Replay:
    """Owe deliveries again."""

    def __init__(self, database: Database, clock: Clock, entropy: Callable[[int], bytes]) -> None:
        self._database = database
        self._clock = clock
        self._entropy = entropy

    async def resend(self, app_id: UUID, message_ref: str, endpoint_ref: str) -> None:
        """Raises NotFound, or BadRequest when the payload is gone or the endpoint is disabled."""
        async with self._database.transaction() as conn:
            message_id = await message_id_of(conn, app_id, message_ref)
            found = await target_of(conn, app_id, endpoint_ref)
            target = _enabled(await delivery.hold_target(conn, app_id, found.id))
            if not await message.has_payload(conn, app_id, message_id):
                raise BadRequest(
                    "The payload of this message is gone, so it cannot be sent.", code="missing_payload"
                )
            now = self._clock.now()
            await delivery.resend(conn, target, message_id, datetime_at(now))
            after = {"endpoint": ids.text(ids.ENDPOINT, target.id)}
            deed = Deed(None, app_id, "message.resent", ids.text(ids.MESSAGE, message_id), None, after)
            await audit.record(conn, now, self._entropy, deed)

    async def recover(
        self, org_id: str, app_id: UUID, endpoint_ref: str, since: datetime, until: datetime | None
    ) -> BackgroundTask:
        """Raises NotFound, BadRequest when the endpoint is disabled, or Invalid for the window."""
        return await self._begin(background_task.RECOVER, org_id, app_id, endpoint_ref, since, until)

    async def count_lost(
        self, app_id: UUID, endpoint_ref: str, since: datetime, until: datetime | None
    ) -> int:
        """How many messages `recover` would send again now, at most MAX_COUNT. Raises as it does."""
        after, last = self._window(since, until)
        async with self._database.connection() as conn:
            target = _enabled(await target_of(conn, app_id, endpoint_ref))
            return await delivery.count_lost(conn, target, after, last, MAX_COUNT)

    async def replay_missing(
        self, org_id: str, app_id: UUID, endpoint_ref: str, since: datetime, until: datetime | None
    ) -> BackgroundTask:
        """Raises NotFound, BadRequest when the endpoint is disabled, or Invalid for the window."""
        return await self._begin(background_task.REPLAY, org_id, app_id, endpoint_ref, since, until)

    async def _begin(
        self, kind: str, org_id: str, app_id: UUID, endpoint_ref: str, since: datetime, until: datetime | None
    ) -> BackgroundTask:
        after, last = self._window(since, until)
        now = self._clock.now()
        async with self._database.transaction() as conn:
            target = _enabled(await target_of(conn, app_id, endpoint_ref))
            arguments = background_task.window_arguments(target.id, after, last)
            task_id = ids.new(now, self._entropy(8))
            window = {
                "since": since.isoformat(),
                "until": datetime_at(min(now, ids.created_at(last))).isoformat(),
            }
            said = {"task": ids.text(ids.TASK, task_id), **window}
            action = _BEGUN[kind]
            deed = Deed(org_id, app_id, action, ids.text(ids.ENDPOINT, target.id), None, said)
            await audit.record(conn, now, self._entropy, deed)
            return await background_task.create(
                conn, task_id, org_id, app_id, kind, arguments, datetime_at(now)
            )

    def _window(self, since: datetime, until: datetime | None) -> tuple[UUID, UUID]:
        """The ids of a window: after the first, up to the second. Raises Invalid."""
        now = self._clock.now()
        start, end = since.timestamp(), now if until is None else until.timestamp()
        if start < now - MAX_AGE:
            raise Invalid.field("since", "Cannot recover messages more than 14 days old.")
        if until is not None and end <= start:
            raise Invalid.field("until", "The end of the window must be after its beginning.")
        # `since` itself is inside; what is accepted from now on is not lost, so it ends now at the latest
        return UUID(int=max(0, ids.lowest(start).int - 1)), ids.highest(min(end, now))


def _enabled(target: Target | None) -> Target:
    if target is None:
        raise NotFound()
    if target.disabled_at is not None:
        raise BadRequest("The endpoint is disabled; enable it first.", code="endpoint_disabled")
    return target
