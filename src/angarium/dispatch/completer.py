"""Completer: records the outcomes of attempts in batches (angarium/batcher.py), and moves their deliveries.

While the database cannot be written to, outcomes wait here, nothing more is sent (`stuck`), and nothing is
dropped: the same batch is tried until it is in. An outcome that the database refuses for good is taken out of
its batch and written without what the receiver said; one that is refused even so is `parked`: its delivery is
not sent again by this process. It is tried again each minute and when the process stops, for what stood
against it may be gone, such as a constraint or a trigger.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Final
from uuid import UUID

import msgspec
import structlog

from angarium.batcher import Batcher, Bound, Gather, Unwritten
from angarium.clock import Clock, datetime_at
from angarium.core import ids
from angarium.core.errors import StoreReason, StoreUnavailable
from angarium.dispatch.active_lane import ActiveLane
from angarium.dispatch.alert import DISABLED, Alert, items
from angarium.store import accept, disable
from angarium.store import complete as store
from angarium.store.accept import NewDelivery
from angarium.store.database import Database
from angarium.store.disable import Disable
from angarium.store.fault import StatementFailed

log = structlog.get_logger(__name__)

MAX_BATCH: Final = 1000
CROWD: Final = 8  # outcomes in a batch after which the next may gather a while,
GATHER: Final = 0.01  # seconds
CAPACITY: Final = 5000
TRIES: Final = 3  # of a batch that the database refuses, before its outcomes are written one by one
AGAIN: Final = 60.0  # seconds between tries of parked outcomes
SLOW: Final = 2.0  # seconds that a transaction may take until nothing more is sent
_PAUSES: Final = (0.1, 0.2, 0.5, 1.0, 2.0)
_UNRECORDED: Final = "The answer could not be recorded."


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """One attempt's completion with what else follows from it, and the lane that waits for it."""

    active: ActiveLane
    completion: store.Completion
    health: store.HealthRecord | None = None
    disable: Disable | None = None
    alert: Alert | None = None


class Completer:
    """Writes outcomes; after a commit it calls `completed` with the batch and the next due times."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        entropy: Callable[[int], bytes],
        completed: Callable[[list[Outcome], list[float | None]], None],
        hand_over: Callable[[Sequence[NewDelivery]], None],
        history: float = 90 * 86400.0,
    ) -> None:
        """`history`: seconds for which messages are kept; alerts are messages."""
        self._database = database
        self._clock = clock
        self._entropy = entropy
        self._completed = completed
        self._hand_over = hand_over
        self._history = history
        self._batcher: Batcher[Outcome, list[store.Completed]] = Batcher(
            self._write,
            self._written,
            self._failed,
            most=Bound(MAX_BATCH),
            gather=Gather(GATHER, CROWD, from_first=True),
            steady=clock.steady,
        )
        self._never = asyncio.Event()
        self.waiting: StoreReason | None = None  # why the batch in hand could not be written so far
        self._parked: dict[tuple[UUID, UUID], Outcome] = {}  # by endpoint id and message id
        self._try_at = 0.0  # the parked ones, by the steady time

    @property
    def parked(self) -> Collection[tuple[UUID, UUID]]:
        """What cannot be recorded now, as (endpoint id, message id); it stays as it is at any time."""
        return self._parked.keys()

    @property
    def stuck(self) -> bool:
        """Whether outcomes cannot be written now: what is sent meanwhile might be sent again."""
        if self.waiting is not None:
            return True
        return self._batcher.under_way > SLOW

    @property
    def full(self) -> bool:
        """Whether the lanes should take no new work."""
        return len(self._batcher) >= CAPACITY

    def put(self, outcome: Outcome) -> None:
        """Take an outcome; it is completed as soon as the database takes it."""
        self._batcher.put(outcome)

    async def drained(self) -> None:
        """Return when all outcomes are completed."""
        await self._batcher.drained()

    async def run(self) -> None:
        """Write batches until cancelled."""
        while True:
            if self._parked:
                until = self._clock.now() + self._try_at - self._clock.steady()
                await self._clock.wait(self._batcher.wake, until)
            else:
                await self._batcher.wake.wait()
            await self._batcher.flush()
            if self._parked and self._clock.steady() >= self._try_at:
                await self.try_parked()

    def _written(self, batch: list[Outcome], rows: list[store.Completed]) -> None:
        self.waiting = None
        due = {(row.endpoint_id, row.message_id): row.due_at for row in rows}
        wanted = ((o.completion.endpoint_id, o.completion.message_id) for o in batch)
        self._completed(batch, [due.get(key) for key in wanted])

    async def _failed(self, unwritten: Unwritten[Outcome]) -> Sequence[list[Outcome]]:
        """The same again after a pause, or one by one when the database refuses them again and again."""
        batch, error = unwritten.batch, unwritten.error
        if isinstance(error, StoreUnavailable):
            self.waiting = error.reason
            log.warning("complete.waiting", outcomes=len(batch), reason=error.reason.value)
            if error.reason is StoreReason.TOO_SLOW:
                unwritten.refusals += 1
                if unwritten.refusals > TRIES and len(batch) > 1:
                    return unwritten.apart()
        elif isinstance(error, StatementFailed):
            self.waiting = StoreReason.SCHEMA
            log.error("complete.waiting", outcomes=len(batch), reason=self.waiting.value, exc_info=error)
        else:
            # Whatever it is: an outcome that is dropped here would leave its lane waiting for ever.
            log.error("complete.failed", outcomes=len(batch), exc_info=error)
            unwritten.refusals += 1
            if unwritten.refusals > TRIES:
                return unwritten.apart() if len(batch) > 1 else self._refused(batch[0])
        pause = _PAUSES[min(unwritten.tries, len(_PAUSES)) - 1]
        await self._clock.wait(self._never, self._clock.now() + pause)
        return [batch]

    def _refused(self, outcome: Outcome) -> Sequence[list[Outcome]]:
        """One that the database refuses for good must not hold up the others, nor be sent for ever."""
        completion = outcome.completion
        message = ids.text(ids.MESSAGE, completion.message_id)
        log.error("complete.refused", message=message)
        bare = _bare(outcome)
        if bare != outcome:
            return [[bare]]
        if not self._parked:
            self._try_at = self._clock.steady() + AGAIN
        self._parked[completion.endpoint_id, completion.message_id] = bare
        log.error("complete.parked", message=message, endpoint=ids.text(ids.ENDPOINT, completion.endpoint_id))
        self._written([outcome], [])
        return []

    async def try_parked(self) -> None:
        """Write those that are taken by now. Their lanes are done with them: what is due again is found in
        the table."""
        self._try_at = self._clock.steady() + AGAIN
        for key, outcome in list(self._parked.items()):
            try:
                await self._write([outcome])
            except StoreUnavailable:
                return
            except Exception as error:
                log.debug("complete.still_parked", error=str(error))
                continue
            self._parked.pop(key, None)
            log.info("complete.unparked", message=ids.text(ids.MESSAGE, outcome.completion.message_id))

    async def _write(self, batch: list[Outcome]) -> list[store.Completed]:
        completions = [outcome.completion for outcome in batch]
        # the last note on an endpoint is its health
        health = {o.health.endpoint_id: o.health for o in batch if o.health is not None}
        disables = {o.disable.endpoint_id: o.disable for o in batch if o.disable is not None}
        alerts = [o.alert for o in batch if o.alert is not None]
        if not disables and not alerts:
            async with self._database.connection() as connection:
                return await store.complete(connection, completions, list(health.values()))
        async with self._database.transaction() as connection:
            # endpoint before delivery: the order in which every transaction takes its locks
            now = self._clock.now()
            disabled = [one for one in disables.values() if await disable.mark(connection, one, now)]
            completed = await store.complete(connection, completions, list(health.values()))
            for one in disabled:
                await disable.carry_out(connection, one, now, self._entropy(8))
                alerts.append(_disabled_alert(one))
            new_deliveries: list[NewDelivery] = []
            if alerts:
                named = await store.uids(connection, [(one.app_id, one.endpoint_id) for one in alerts])
                messages = items(alerts, named, now, self._entropy, self._history)
                _, new_deliveries = await accept.accept(connection, messages, now)
        self._hand_over(new_deliveries)
        return completed


def _bare(outcome: Outcome) -> Outcome:
    """The same move, without anything that the receiver said, and without what else follows from it."""
    completion = outcome.completion
    answer = completion.answer
    if answer is not None:
        answer = msgspec.structs.replace(answer, error=_UNRECORDED, response=None, headers=(), control=None)
    return Outcome(outcome.active, msgspec.structs.replace(completion, answer=answer, sent=()))


def _disabled_alert(one: Disable) -> Alert:
    since = one.failing_since
    facts = {
        "failSince": since and datetime_at(since).isoformat().replace("+00:00", "Z"),
        "trigger": "automatic",
        "reason": one.reason.value,
    }
    return Alert(DISABLED, one.org_id, one.app_id, one.endpoint_id, facts)
