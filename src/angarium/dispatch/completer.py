"""Writes the outcomes of attempts in batches (see angarium/batcher.py) and updates their deliveries.

While the database cannot be written to, outcomes wait, nothing more is sent (`stuck`), and nothing is
dropped: the same batch is retried until it is written. An outcome that the database keeps refusing is taken
out of its batch and written without the receiver's response. If it is refused again, it is `parked`: this
process does not send its delivery again. Parked outcomes are retried every minute and when the process stops,
because the cause, such as a constraint or a trigger, may be gone.
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
from angarium.core.alert import NOBODY, AlertKind, Audience, Notice
from angarium.core.errors import StoreReason, StoreUnavailable
from angarium.core.event import NO_EVENTS, Attempted, Events
from angarium.core.lifecycle import Move
from angarium.core.outage import PausedTime
from angarium.dispatch.active_lane import ActiveLane
from angarium.dispatch.alert import DISABLED, Alert, items
from angarium.store import accept, disable
from angarium.store import alert as alert_store
from angarium.store import complete as store
from angarium.store.accept import NewDelivery
from angarium.store.database import Database
from angarium.store.disable import Disable
from angarium.store.endpoint import uids
from angarium.store.fault import StatementFailed

log = structlog.get_logger(__name__)

MAX_BATCH: Final = 1000
CROWD: Final = 8  # outcomes in a batch after which the next batch may gather for
GATHER: Final = 0.01  # seconds
CAPACITY: Final = 5000
TRIES: Final = 3  # of a batch that the database refuses, before its outcomes are written one by one
AGAIN: Final = 60.0  # seconds between tries of parked outcomes
SLOW: Final = 2.0  # seconds that a transaction may take until nothing more is sent
_PAUSES: Final = (0.1, 0.2, 0.5, 1.0, 2.0)
OUTCOMES: Final = "outcomes"  # the cause of a pause: they cannot be recorded
_UNRECORDED: Final = "The response could not be recorded."


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """The completion of one attempt, what else follows from it, and the lane that waits for it."""

    active: ActiveLane
    completion: store.Completion
    health: store.HealthRecord | None = None
    disable: Disable | None = None
    alert: Alert | None = None
    attempted: Attempted | None = None  # for listeners


class Completer:
    """Writes outcomes. After a commit, calls `completed` with the batch and each delivery's next due time."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        entropy: Callable[[int], bytes],
        completed: Callable[[list[Outcome], list[float | None]], None],
        hand_over: Callable[[Sequence[NewDelivery], float], None],
        history: float = 90 * 86400.0,
        events: Events = NO_EVENTS,
        audience: Audience = NOBODY,
    ) -> None:
        """`history`: seconds for which messages are kept; alerts to operators are messages. `audience`: the
        people who get alerts."""
        self._events = events
        self._database = database
        self._clock = clock
        self._entropy = entropy
        self._completed = completed
        self._hand_over = hand_over
        self._history = history
        self._audience = audience
        self._batcher: Batcher[Outcome, list[store.Completed]] = Batcher(
            self._write,
            self._written,
            self._failed,
            most=Bound(MAX_BATCH),
            gather=Gather(GATHER, CROWD, from_first=True),
            steady=clock.steady,
        )
        self._never = asyncio.Event()
        self.waiting: StoreReason | None = None  # why the current batch could not be written yet
        self._paused = PausedTime()
        self._parked: dict[tuple[UUID, UUID], Outcome] = {}  # by endpoint id and message id
        self._try_at = 0.0  # when to retry the parked ones, by the steady time

    @property
    def parked(self) -> Collection[tuple[UUID, UUID]]:
        """Outcomes that cannot be recorded, as (endpoint id, message id). A live view."""
        return self._parked.keys()

    @property
    def outcomes(self) -> int:
        """Number of outcomes that are not recorded yet, without the parked ones."""
        return len(self._batcher)

    @property
    def stuck(self) -> bool:
        """Whether outcomes cannot be written now. What is sent meanwhile might be sent again."""
        if self.waiting is not None:
            return True
        return self._batcher.under_way > SLOW

    @property
    def paused_seconds(self) -> dict[str, float]:
        """For how many seconds outcomes could not be written."""
        return self._paused.seconds(self._clock.steady())

    @property
    def full(self) -> bool:
        """Whether no new attempts should start."""
        return len(self._batcher) >= CAPACITY

    def put(self, outcome: Outcome, *, patience: float = 0.0) -> None:
        """Add an outcome. It is written as soon as the database accepts it, or within `patience` seconds,
        together with others."""
        self._batcher.put(outcome, patience=patience)

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
        if self.waiting is not None:
            self.waiting = None
            self._paused.ended(OUTCOMES, self._clock.steady())
        due = {(row.endpoint_id, row.message_id): row.due_at for row in rows}
        wanted = ((o.completion.endpoint_id, o.completion.message_id) for o in batch)
        self._completed(batch, [due.get(key) for key in wanted])

    async def _failed(self, unwritten: Unwritten[Outcome]) -> Sequence[list[Outcome]]:
        """Retry the batch after a pause, or write its outcomes one by one if the database keeps refusing
        it."""
        batch, error = unwritten.batch, unwritten.error
        if isinstance(error, StoreUnavailable):
            self._wait(error.reason)
            log.warning("complete.waiting", outcomes=len(batch), reason=error.reason.value)
            if error.reason is StoreReason.TOO_SLOW:
                unwritten.refusals += 1
                if unwritten.refusals > TRIES and len(batch) > 1:
                    return unwritten.apart()
        elif isinstance(error, StatementFailed):
            self._wait(StoreReason.SCHEMA)
            reason = StoreReason.SCHEMA.value
            log.error("complete.waiting", outcomes=len(batch), reason=reason, exc_info=error)
        else:
            # On any error: if an outcome were dropped here, its lane would wait forever.
            log.error("complete.failed", outcomes=len(batch), exc_info=error)
            unwritten.refusals += 1
            if unwritten.refusals > TRIES:
                return unwritten.apart() if len(batch) > 1 else self._refused(batch[0])
        pause = _PAUSES[min(unwritten.tries, len(_PAUSES)) - 1]
        await self._clock.wait(self._never, self._clock.now() + pause)
        return [batch]

    def _wait(self, reason: StoreReason) -> None:
        if self.waiting is None:
            self._paused.began(OUTCOMES, self._clock.steady())
        self.waiting = reason

    def _refused(self, outcome: Outcome) -> Sequence[list[Outcome]]:
        """An outcome that the database keeps refusing must not block the others, nor be sent forever."""
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
        """Write the parked outcomes that the database accepts now. The lanes no longer wait for them: the
        backlog poller finds their retries in the database."""
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
        begun = self._clock.steady()
        completed = await self._commit(batch)
        attempts = [o.attempted for o in batch if o.attempted is not None]
        self._events.recorded(attempts, self._clock.steady() - begun)
        return completed

    async def _commit(self, batch: list[Outcome]) -> list[store.Completed]:
        completions = [outcome.completion for outcome in batch]
        # the last record of an endpoint counts
        health = {o.health.endpoint_id: o.health for o in batch if o.health is not None}
        disables = {o.disable.endpoint_id: o.disable for o in batch if o.disable is not None}
        alerts = [o.alert for o in batch if o.alert is not None]
        # exhausted messages are not reported one by one, but counted for each endpoint
        notices = _exhausted(completions) if self._audience else []
        if not disables and not alerts and not notices:
            async with self._database.connection() as connection:
                return await store.complete(connection, completions, list(health.values()))
        async with self._database.transaction() as connection:
            # endpoint before delivery: every transaction takes locks in this order
            now = self._clock.now()
            disabled = [one for one in disables.values() if await disable.mark(connection, one, now)]
            completed = await store.complete(connection, completions, list(health.values()))
            for one in disabled:
                await disable.carry_out(connection, one, now, self._entropy(8))
                alerts.append(_disabled_alert(one))
            new_deliveries: list[NewDelivery] = []
            if alerts:
                named = await uids(connection, [(one.app_id, one.endpoint_id) for one in alerts])
                messages = items(alerts, named, now, self._entropy, self._history)
                _, new_deliveries = await accept.accept(connection, messages, now)
            if self._audience and (notices := [*notices, *_noticed(alerts)]):
                await alert_store.add(connection, notices, self._audience, now)
        for one in disabled:
            self._events.disabled(one.reason)
        self._hand_over(new_deliveries, now)
        return completed


def _bare(outcome: Outcome) -> Outcome:
    """The same move, without the receiver's response and without other effects."""
    completion = outcome.completion
    answer = completion.answer
    if answer is not None:
        answer = msgspec.structs.replace(answer, error=_UNRECORDED, response=None, headers=(), control=None)
    completion = msgspec.structs.replace(completion, answer=answer, sent=())
    return Outcome(outcome.active, completion, attempted=outcome.attempted)


def _exhausted(completions: Sequence[store.Completion]) -> list[Notice]:
    """What is reported to people of the exhausted deliveries of a batch."""
    found: dict[UUID, Notice] = {}
    for one in completions:
        if one.move is Move.EXHAUST:
            known = found.get(one.endpoint_id)
            count = 1 if known is None else known.count + 1
            code = None if one.answer is None else one.answer.error_code
            found[one.endpoint_id] = Notice(one.app_id, one.endpoint_id, AlertKind.EXHAUSTED, count, code)
    return list(found.values())


def _noticed(alerts: Sequence[Alert]) -> list[Notice]:
    """The same for alerts. An endpoint has one of each kind."""
    found = {
        (one.endpoint_id, one.kind): Notice(
            one.app_id, one.endpoint_id, AlertKind(one.kind), 1, one.facts.get("reason")
        )
        for one in alerts
    }
    return list(found.values())


def _disabled_alert(one: Disable) -> Alert:
    since = one.failing_since
    facts = {
        "failSince": since and datetime_at(since).isoformat().replace("+00:00", "Z"),
        "trigger": "automatic",
        "reason": one.reason.value,
    }
    return Alert(DISABLED, one.org_id, one.app_id, one.endpoint_id, facts)
