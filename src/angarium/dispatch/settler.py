"""Settle, coalesced: outcomes gather while one transaction is being written and go in the next.

While the database cannot be written to, outcomes wait here, nothing more is sent (`stuck`), and nothing is
dropped: the same batch is tried until it is in. An outcome that the database refuses for good is taken out of
its batch and written without what the receiver said; one that is refused even so is `parked`: its delivery is
not sent again by this process. It is tried again each minute and when the process stops, for what stood
against it may be gone, such as a constraint or a trigger.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Final
from uuid import UUID

import msgspec
import structlog

from angarium.clock import Clock, datetime_at
from angarium.core import ids
from angarium.core.audit import SYSTEM, Deed
from angarium.core.errors import StoreReason, StoreUnavailable
from angarium.core.nouns import DisabledReason
from angarium.dispatch.alert import DISABLED, Alert, items
from angarium.dispatch.post import Post
from angarium.store import accept, audit, background_task
from angarium.store import settle as store
from angarium.store.accept import Owed
from angarium.store.connection import Connection
from angarium.store.database import Database
from angarium.store.fault import StatementFailed
from angarium.store.hint import changed

log = structlog.get_logger(__name__)

MAX_BATCH: Final = 1000
CROWD: Final = 8  # outcomes in a batch from which on there are so many that the next may gather a while,
GATHER: Final = 0.01  # seconds, for a few large transactions cost far less than many small ones
CAPACITY: Final = 5000
TRIES: Final = 3  # of a batch that the database refuses, before its outcomes are written one by one
AGAIN: Final = 60.0  # seconds between tries of parked outcomes
SLOW: Final = 2.0  # seconds that a transaction may take until nothing more is sent
_PAUSES: Final = (0.1, 0.2, 0.5, 1.0, 2.0)
_UNRECORDED: Final = "The answer could not be recorded."


class Disable(msgspec.Struct, frozen=True, gc=False):
    """This endpoint gets nothing more, from the same transaction on."""

    org_id: str
    app_id: UUID
    endpoint_id: UUID
    reason: DisabledReason
    failing_since: float | None = None
    generation: int = 0  # of the endpoint that the attempts were made to


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """One attempt's settlement with what else follows from it, and the lane that waits for it."""

    post: Post
    settlement: store.Settlement
    health: store.Health | None = None
    disable: Disable | None = None
    alert: Alert | None = None


class Settler:
    """Writes outcomes; after a commit `settled` is called with the batch and what became of it, in order."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        entropy: Callable[[int], bytes],
        settled: Callable[[list[Outcome], list[float | None]], None],
        hand_over: Callable[[Sequence[Owed]], None],
        history: float = 90 * 86400.0,
    ) -> None:
        """`history`: seconds for which messages are kept; alerts are messages."""
        self._database = database
        self._clock = clock
        self._entropy = entropy
        self._settled = settled
        self._hand_over = hand_over
        self._history = history
        self._pending: deque[Outcome] = deque()
        self._writing = 0
        self._written = 0  # in the last batch
        self._hurry = False
        self._wake = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._retry = asyncio.Event()
        self._since = 0.0  # when the batch in hand was begun, by the steady time
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
        return self._writing > 0 and self._clock.steady() - self._since > SLOW

    @property
    def full(self) -> bool:
        """Whether the lanes should take no new work."""
        return len(self._pending) + self._writing >= CAPACITY

    def put(self, outcome: Outcome) -> None:
        """Take an outcome; it is settled as soon as the database takes it."""
        self._pending.append(outcome)
        self._empty.clear()
        self._wake.set()

    async def drained(self) -> None:
        """Return when all outcomes are settled."""
        self._hurry = True
        await self._empty.wait()

    async def run(self) -> None:
        """Write batches until cancelled."""
        while True:
            if self._parked:
                await self._clock.wait(self._wake, self._clock.now() + self._try_at - self._clock.steady())
            else:
                await self._wake.wait()
            self._wake.clear()
            while self._pending:
                if self._written >= CROWD and len(self._pending) < MAX_BATCH // 2 and not self._hurry:
                    await asyncio.sleep(GATHER)
                batch = [self._pending.popleft() for _ in range(min(MAX_BATCH, len(self._pending)))]
                self._writing, self._since = len(batch), self._clock.steady()
                rows = {(row.endpoint_id, row.message_id): row.due_at for row in await self._write(batch)}
                self._writing, self._written = 0, len(batch)
                wanted = ((o.settlement.endpoint_id, o.settlement.message_id) for o in batch)
                self._settled(batch, [rows.get(key) for key in wanted])
            self._empty.set()
            if self._parked and self._clock.steady() >= self._try_at:
                await self.try_parked()

    async def _write(self, batch: list[Outcome], refusals: int = 0) -> list[store.Settled]:
        """`refusals`: how often a batch with these was refused before."""
        tries = 0
        while True:
            try:
                rows = await self._write_once(batch)
            except StoreUnavailable as error:
                self.waiting = error.reason
                log.warning("settle.waiting", outcomes=len(batch), reason=error.reason.value)
                if error.reason is StoreReason.TOO_SLOW:
                    refusals += 1
                    if refusals > TRIES and len(batch) > 1:
                        return await self._write_apart(batch)
            except StatementFailed:
                self.waiting = StoreReason.SCHEMA
                log.exception("settle.waiting", outcomes=len(batch), reason=self.waiting.value)
            except Exception:
                # Whatever it is: an outcome that is dropped here would leave its lane waiting for ever.
                log.exception("settle.failed", outcomes=len(batch))
                refusals += 1
                if refusals > TRIES:
                    return await self._write_apart(batch)
            else:
                self.waiting = None
                return rows
            pause = _PAUSES[min(tries, len(_PAUSES) - 1)]
            tries += 1
            await self._clock.wait(self._retry, self._clock.now() + pause)

    async def _write_apart(self, batch: list[Outcome]) -> list[store.Settled]:
        """One that the database refuses for good must not hold up the others, nor be sent for ever."""
        if len(batch) > 1:
            return [row for outcome in batch for row in await self._write([outcome], TRIES)]
        (outcome,) = batch
        settlement = outcome.settlement
        message = ids.text(ids.MESSAGE, settlement.message_id)
        log.error("settle.refused", message=message)
        bare = _bare(outcome)
        if bare != outcome:
            return await self._write([bare], TRIES)
        self.waiting = None
        if not self._parked:
            self._try_at = self._clock.steady() + AGAIN
        self._parked[settlement.endpoint_id, settlement.message_id] = bare
        log.error("settle.parked", message=message, endpoint=ids.text(ids.ENDPOINT, settlement.endpoint_id))
        return []

    async def try_parked(self) -> None:
        """Write those that are taken by now. Their lanes are done with them: what is due again is found in
        the table."""
        self._try_at = self._clock.steady() + AGAIN
        for key, outcome in list(self._parked.items()):
            try:
                await self._write_once([outcome])
            except StoreUnavailable:
                return
            except Exception as error:
                log.debug("settle.still_parked", error=str(error))
                continue
            self._parked.pop(key, None)
            log.info("settle.unparked", message=ids.text(ids.MESSAGE, outcome.settlement.message_id))

    async def _write_once(self, batch: list[Outcome]) -> list[store.Settled]:
        settlements = [outcome.settlement for outcome in batch]
        # the last note on an endpoint is its health
        health = {o.health.endpoint_id: o.health for o in batch if o.health is not None}
        disables = {o.disable.endpoint_id: o.disable for o in batch if o.disable is not None}
        alerts = [o.alert for o in batch if o.alert is not None]
        if not disables and not alerts:
            async with self._database.connection() as connection:
                return await store.settle(connection, settlements, list(health.values()))
        async with self._database.transaction() as connection:
            # endpoint before delivery: the order in which every transaction takes its locks
            disabled = [one for one in disables.values() if await self._disable(connection, one)]
            settled = await store.settle(connection, settlements, list(health.values()))
            for one in disabled:
                await self._cancel(connection, one)
                await self._record(connection, one)
                alerts.append(_disabled_alert(one))
            now = self._clock.now()
            owed: list[Owed] = []
            if alerts:
                named = await store.uids(connection, [(one.app_id, one.endpoint_id) for one in alerts])
                messages = items(alerts, named, now, self._entropy, self._history)
                _, owed = await accept.accept(connection, messages, now)
        self._hand_over(owed)
        return settled

    async def _disable(self, connection: Connection, one: Disable) -> bool:
        now = datetime_at(self._clock.now())
        return await store.disable_endpoint(
            connection, one.app_id, one.endpoint_id, one.reason, now, generation=one.generation
        )

    async def _cancel(self, connection: Connection, one: Disable) -> None:
        now = self._clock.now()
        task_id = ids.new(now, self._entropy(8))
        await background_task.cancel_owed(
            connection, task_id, one.org_id, one.app_id, one.endpoint_id, now, wait=True
        )
        await store.hint(connection, [changed(one.endpoint_id)])
        log.info("endpoint.disabled", endpoint=ids.text(ids.ENDPOINT, one.endpoint_id), reason=one.reason)

    async def _record(self, connection: Connection, one: Disable) -> None:
        target = ids.text(ids.ENDPOINT, one.endpoint_id)
        after = {"disabled": True, "reason": one.reason.value}
        deed = Deed(one.org_id, one.app_id, "endpoint.disabled", target, {"disabled": False}, after)
        await audit.record(connection, ids.new(self._clock.now(), self._entropy(8)), SYSTEM, deed)


def _bare(outcome: Outcome) -> Outcome:
    """The same move, without anything that the receiver said, and without what else follows from it."""
    settlement = outcome.settlement
    answer = settlement.answer
    if answer is not None:
        answer = msgspec.structs.replace(answer, error=_UNRECORDED, response=None, headers=(), control=None)
    return Outcome(outcome.post, msgspec.structs.replace(settlement, answer=answer, url="", sent=()))


def _disabled_alert(one: Disable) -> Alert:
    since = one.failing_since
    facts = {
        "failSince": since and datetime_at(since).isoformat().replace("+00:00", "Z"),
        "trigger": "automatic",
        "reason": one.reason.value,
    }
    return Alert(DISABLED, one.org_id, one.app_id, one.endpoint_id, facts)
