"""Accepts messages: each is durable with all its deliveries before the response.

For a message with many deliveries, a durable record says that they are still to be written
(store/accept.py). Requests share commits (angarium/batcher.py).
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
from angarium.core.audit import Actor, AuditEvent
from angarium.core.errors import (
    AngariumError,
    BadRequest,
    BodyTooLarge,
    Conflict,
    MessageLimitReached,
    NotFound,
    Overloaded,
    StoreReason,
    StoreUnavailable,
)
from angarium.core.event import NO_EVENTS, Events
from angarium.core.nouns import Message
from angarium.core.product import Product
from angarium.core.quota import NO_LIMITS, QuotaLimits, limits, month_of, next_month
from angarium.core.trace import NO_TRACER, OpenSpan, SpanKind, Tracer
from angarium.service import trace
from angarium.service.audit import current
from angarium.service.product import Products
from angarium.store import accept as store
from angarium.store import audit, usage
from angarium.store.connection import Connection
from angarium.store.database import Database
from angarium.store.fault import RowRefused, ValueRefused
from angarium.store.message import expiry

log = structlog.get_logger(__name__)

MAX_BATCH: Final = 1000
CROWD: Final = 8  # after a batch with this many requests, the next waits for more,
GATHER: Final = 0.003  # seconds
REMEMBERED: Final = 10.0  # seconds for which a database failure is reported, unless a batch succeeds
MAX_BATCH_BYTES: Final = 8 * 1024 * 1024
_DAY: Final = 86400.0
MOST_LARGE: Final = 1000  # applications remembered as large
_SET_BACK: Final = 1_000_000  # microseconds; ids further ahead of the clock mean that it was set back


class Draft(msgspec.Struct, frozen=True, gc=False):
    """A message to accept. `app` is an id or a uid; `endpoint_id` sends to that endpoint alone."""

    org_id: str
    app: str
    event_type: str
    payload: bytes
    event_id: str | None = None
    channels: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    retention: float = 90 * _DAY  # seconds for which the payload is kept
    idempotency_key: bytes | None = None
    endpoint_id: UUID | None = None
    deliver_at: float | None = None  # epoch seconds of the first attempt; None: at once
    occurred_at: float | None = None  # epoch seconds of the event; None: now
    verbatim: bool = False  # the payload is the body, whatever the product's envelope
    content_type: str | None = None  # None: application/json
    actor: Actor | None = None  # the sender of a test to one endpoint, for the audit log
    span: OpenSpan | None = None  # its acceptance, if the request is sampled


class Accepted(msgspec.Struct, frozen=True, gc=False):
    """A stored message. `replayed`: the idempotency key was used before; this is its first message."""

    message: Message
    replayed: bool = False


Result = Accepted | AngariumError
Drafts = Sequence[tuple[Draft, Product]]


class _Group:
    """The drafts of one request, stored together, and the callback for their results."""

    __slots__ = ("done", "drafts", "size")

    def __init__(self, drafts: Drafts, done: Callable[[list[Result]], None]) -> None:
        self.drafts = drafts
        self.done = done
        self.size = sum(len(draft.payload) for draft, _ in drafts)

    def tell(self, results: list[Result]) -> None:
        try:
            self.done(results)
        except Exception:
            # a failing callback must not block other callers
            log.exception("intake.untold")

    def apart(self) -> list[_Group]:
        """One group per draft; the callback is called when all have a result."""
        found: list[Result] = []

        def one_done(results: list[Result]) -> None:
            found.extend(results)
            if len(found) == len(self.drafts):
                self.tell(found)

        return [_Group([draft], one_done) for draft in self.drafts]


def _weigh(group: _Group) -> tuple[int, int]:
    return len(group.drafts), group.size


class Large:
    """The applications with large messages, by the reference that callers used, an id or a uid.

    They get the room that others leave in a batch. An application becomes large when the deliveries of one of
    its messages do not fit into the batch, and stops being large when a message fits again. This affects only
    fairness: every delivery is written in any case.
    """

    def __init__(self) -> None:
        self._refs: dict[str, None] = {}  # the oldest first

    def __bool__(self) -> bool:
        return bool(self._refs)

    def among(self, items: Sequence[store.Item]) -> Collection[str]:
        """The references of items whose applications are large."""
        return self._refs.keys() & {item.app for item in items} if self._refs else ()

    def learn(self, items: Sequence[store.Item], stored: Sequence[store.Stored]) -> None:
        """Update from the results of one batch."""
        for item, one in zip(items, stored, strict=True):
            if one.large:
                self._refs[item.app] = None
            elif one.stored and not one.late:
                self._refs.pop(item.app, None)
        while len(self._refs) > MOST_LARGE:
            del self._refs[next(iter(self._refs))]


class Intake:
    """Stores drafts in batches; `hand_over` gets the deliveries of each batch after its commit, with a time
    before it.

    `fan_out` is called when some deliveries are still to be written.
    `history`: seconds for which messages are kept. No payload is kept longer. `quota`: the limits of
    applications that have no others.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        entropy: Callable[[int], bytes],
        hand_over: Callable[[Sequence[store.NewDelivery], float], None],
        fan_out: Callable[[], None],
        products: Products,
        *,
        history: float = 90 * _DAY,
        accepts: Callable[[], bool] = lambda: True,
        capacity: int = 10_000,
        capacity_bytes: int = 64 * 1024 * 1024,
        events: Events = NO_EVENTS,
        quota: QuotaLimits = NO_LIMITS,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._events = events
        self._quota = quota
        self._tracer = tracer
        self._database = database
        self._clock = clock
        self._entropy = entropy
        self._hand_over = hand_over
        self._fan_out = fan_out
        self._large = Large()
        self._products = products
        self._history = history
        self._accepts = accepts
        self._batcher: Batcher[_Group, list[Result]] = Batcher(
            self._write,
            self._written,
            self._failed,
            most=Bound(MAX_BATCH, MAX_BATCH_BYTES),
            capacity=Bound(capacity, capacity_bytes),
            gather=Gather(GATHER, CROWD),
            weigh=_weigh,  # a group is stored in one commit, whatever its size
        )
        self._last_id = 0  # epoch microseconds
        self._failed_at, self._reason = 0.0, StoreReason.UNREACHABLE
        self._writer: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> StoreReason | None:
        """Why the last batch could not be stored, for REMEMBERED seconds, or why none may be stored."""
        if not self._accepts():
            return StoreReason.HELD
        if self._failed_at and self._clock.steady() - self._failed_at < REMEMBERED:
            return self._reason
        return None

    @property
    def runs(self) -> bool:
        """Whether drafts are written: false only if the task that writes them has ended unexpectedly."""
        return self._writer is None or not self._writer.done()

    async def start(self) -> None:
        self._writer = asyncio.create_task(self._batcher.run(), name="intake")

    async def stop(self) -> None:
        """Write the pending drafts, then stop."""
        if self._writer is not None:
            writer, self._writer = self._writer, None
            self._batcher.close()
            await writer

    async def accept(self, draft: Draft) -> Accepted:
        """Store one message; returns after the commit.

        Raises NotFound (application), Conflict (event id taken), MessageLimitReached, BodyTooLarge,
        Overloaded, StoreUnavailable.
        """
        product = self._products.known(draft.org_id) or await self._products.of(draft.org_id)
        (result,) = await self._results_of([(self._traced(_signed(draft), trace.current()), product)])
        if isinstance(result, AngariumError):
            raise result
        return result

    async def accept_many(self, drafts: Sequence[Draft]) -> list[Result]:
        """Store up to MAX_BATCH messages in one commit; one result each, in order."""
        if len(drafts) > MAX_BATCH:
            raise BadRequest(f"A batch has at most {MAX_BATCH} messages.")
        span = trace.current()
        return await self._results_of(
            [(self._traced(_signed(draft), span), await self._products.of(draft.org_id)) for draft in drafts]
        )

    def put(self, draft: Draft, done: Callable[[Result], None], span: OpenSpan | None = None) -> bool:
        """Store one message; `done` gets the result, including errors, after the commit. `span`: of the
        request, if it is sampled.

        Returns False and stores nothing if the organization's product is unknown; `accept` looks it up.
        Raises Overloaded.
        """
        product = self._products.known(draft.org_id)
        if product is None:
            return False
        self._queue([(self._traced(draft, span), product)], lambda results: done(results[0]))
        return True

    def _traced(self, draft: Draft, request: OpenSpan | None) -> Draft:
        """The draft with the span of its acceptance, which is a part of the sampled `request`."""
        if request is None:
            return draft
        return msgspec.structs.replace(draft, span=self._tracer.child(request))

    def _tell_accepted(self, drafts: Drafts, results: Sequence[Result]) -> None:
        """End the spans of messages that were stored. One that was stored before keeps its first span."""
        for (draft, _), result in zip(drafts, results, strict=True):
            if draft.span is not None and isinstance(result, Accepted) and not result.replayed:
                said: dict[str, str | int] = {
                    "angarium.application": ids.text(ids.APPLICATION, result.message.app_id),
                    "messaging.message.id": ids.text(ids.MESSAGE, result.message.id),
                    "messaging.batch.message_count": len(drafts),
                }
                self._tracer.ended(draft.span, "accept", SpanKind.PRODUCER, said)

    def _results_of(self, drafts: Drafts) -> asyncio.Future[list[Result]]:
        results: asyncio.Future[list[Result]] = asyncio.get_running_loop().create_future()
        self._queue(drafts, lambda found: None if results.done() else results.set_result(found))
        return results

    def _queue(self, drafts: Drafts, done: Callable[[list[Result]], None]) -> None:
        if self._writer is None:
            raise Overloaded("The server is shutting down.")
        if not self._accepts():
            raise Overloaded("The database is being restored; no messages are accepted yet.", retry_after=30)
        if not self._batcher.put(_Group(drafts, done)):
            self._events.turned_away("full", len(drafts))
            raise Overloaded

    async def _write(self, batch: list[_Group]) -> list[Result]:
        return await self._store([draft for group in batch for draft in group.drafts])

    def _written(self, batch: list[_Group], results: list[Result]) -> None:
        left = iter(results)
        for group in batch:
            group.tell([next(left) for _ in group.drafts])

    async def _failed(self, unwritten: Unwritten[_Group]) -> Sequence[list[_Group]]:
        """Retry drafts one by one if PostgreSQL refused one of them. Otherwise all get the error."""
        batch, error = unwritten.batch, unwritten.error
        drafts = sum(len(group.drafts) for group in batch)
        if isinstance(error, RowRefused) and drafts > 1:
            return [[one] for group in batch for one in group.apart()]
        told: AngariumError = StoreUnavailable()
        if isinstance(error, RowRefused):
            log.warning("intake.refused", error=str(error))
            if isinstance(error, ValueRefused):  # otherwise it is our bug
                told = BadRequest("The message contains a value that cannot be stored.")
        elif isinstance(error, StoreUnavailable):
            self._failed_at, self._reason = self._clock.steady(), error.reason
            self._events.turned_away("database", drafts)
            told = error
        else:
            # after any error the requests get a response, and the next batch is written
            log.error("intake.failed", messages=drafts, exc_info=error)
        self._written(batch, [told] * drafts)
        return []

    @property
    def queued(self) -> tuple[int, int]:
        """How many messages wait to be stored, and their bytes."""
        return self._batcher.waiting

    async def _store(self, drafts: list[tuple[Draft, Product]], *, again: bool = False) -> list[Result]:
        now, begun = self._clock.now(), self._clock.steady()
        noise = self._entropy(8 * len(drafts))
        first = int(now * 1_000_000)
        if first > self._last_id - _SET_BACK:
            # ids increase in the order of arrival, also within a batch
            first = max(first, self._last_id + 1)
        self._last_id = first + len(drafts)
        made = [
            self._item(draft, product, ids.at(first + i, noise[8 * i : 8 * i + 8]), now)
            for i, (draft, product) in enumerate(drafts)
        ]
        items = [item for item in made if isinstance(item, store.Item)]
        if not items:
            return [item for item in made if isinstance(item, AngariumError)]
        tests = any(item.actor is not None for item in items)
        # a batch is one statement; only tests need a transaction, for their audit records
        held = self._database.transaction() if tests else self._database.connection()
        async with held as connection:
            stored, new_deliveries = await store.accept(connection, items, now, last=self._large.among(items))
            if tests:
                await self._record(connection, items, stored, now)
            else:
                self._hand_over(new_deliveries, now)
            repeated = [
                item.key
                for item, one in zip(items, stored, strict=True)
                if item.key is not None and one.app_id is not None and not one.stored
            ]
            before = await store.accepted_before(connection, repeated, now) if repeated else {}
            over = [one.app_id for one in stored if one.refused and one.app_id is not None]
            refusals = await self._refusals(connection, over, now, again) if over else {}
        self._failed_at = 0.0
        app_ids = [one.app_id for one in stored if one.stored and one.app_id is not None]
        duplicates = sum(not one.stored and not one.refused for one in stored if one.app_id is not None)
        refused = len(drafts) - len(app_ids) - duplicates
        took = self._clock.steady() - begun
        self._events.accepted(app_ids, len(new_deliveries), duplicates, refused, took)
        if tests:
            self._hand_over(new_deliveries, now)
        late = any(one.late for one in stored)
        if late:
            self._fan_out()
        if late or self._large:
            self._large.learn(items, stored)
        outcomes = iter(stored)
        results = [
            self._result(item, next(outcomes), before, refusals) if isinstance(item, store.Item) else item
            for item in made
        ]
        if self._tracer.on:
            self._tell_accepted(drafts, results)
        return await self._mend(drafts, results, len(over)) if over else results

    async def _refusals(
        self, connection: Connection, app_ids: Sequence[UUID], now: float, again: bool
    ) -> dict[UUID, MessageLimitReached]:
        """Why messages of applications are refused. Those that may send after all, because their limits were
        raised elsewhere, are not in it, and are accepted the next time."""
        at = datetime_at(now)
        month = month_of(at)
        found: dict[UUID, MessageLimitReached] = {}
        allowed = []
        standing = await usage.standing(connection, list(set(app_ids)), month)
        for app_id, one in standing.items():
            product = await self._products.of(one.org_id, connection)
            hard = limits(one.org_id, one.own, product.profile.quota, self._quota).messages_hard
            used = one.used.messages
            if hard is None or used < hard:
                allowed.append(app_id)
            if hard is not None and (used >= hard or again):
                found[app_id] = MessageLimitReached(hard, used, next_month(month), at)
        if allowed:
            await usage.allow(connection, allowed)
        return found

    async def _mend(
        self, drafts: list[tuple[Draft, Product]], results: list[Result], over: int
    ) -> list[Result]:
        """Store again what was refused without a reason, once."""
        places = [place for place, one in enumerate(results) if isinstance(one, _Refused)]
        if places:
            mended = await self._store([drafts[place] for place in places], again=True)
            for place, one in zip(places, mended, strict=True):
                results[place] = one
        self._events.quota_refused("messages", over - len(places))
        return results

    async def _record(
        self, connection: Connection, items: Sequence[store.Item], stored: Sequence[store.Stored], now: float
    ) -> None:
        for item, one in zip(items, stored, strict=True):
            if item.actor is None or item.endpoint_id is None or not one.stored:
                continue
            said = {"message": ids.text(ids.MESSAGE, item.id), "eventType": item.event_type}
            target = ids.text(ids.ENDPOINT, item.endpoint_id)
            audit_event = AuditEvent(item.org_id, one.app_id, "endpoint.test.sent", target, None, said)
            await audit.record(connection, ids.new(now, self._entropy(8)), item.actor, audit_event)

    def _item(
        self, draft: Draft, product: Product, message_id: UUID, now: float
    ) -> store.Item | AngariumError:
        body = draft.payload
        if not draft.verbatim:
            at = now if draft.occurred_at is None else draft.occurred_at
            body = product.message_format.body(message_id, draft.event_type, at, body)
        if len(body) > product.max_body:
            return BodyTooLarge(f"The message has {len(body)} bytes; the limit is {product.max_body}.")
        return store.Item(
            id=message_id,
            org_id=draft.org_id,
            app=draft.app,
            event_type=draft.event_type,
            payload=body,
            event_id=draft.event_id,
            channels=draft.channels,
            tags=draft.tags,
            expires_at=expiry(now, draft.retention, self._history),
            key=draft.idempotency_key,
            endpoint_id=draft.endpoint_id,
            due_at=now if draft.deliver_at is None else draft.deliver_at,
            content_type=draft.content_type,
            actor=draft.actor,
            trace=None if draft.span is None else draft.span.context,
        )

    def _result(
        self,
        item: store.Item,
        stored: store.Stored,
        before: dict[bytes, Message],
        refusals: dict[UUID, MessageLimitReached],
    ) -> Result:
        if stored.app_id is None:
            return NotFound()
        if stored.refused:
            return refusals.get(stored.app_id) or _Refused()
        if not stored.stored:
            first = before.get(item.key) if item.key is not None else None
            return Accepted(first, replayed=True) if first is not None else Conflict()
        return Accepted(
            Message(
                id=item.id,
                app_id=stored.app_id,
                event_id=item.event_id,
                event_type=item.event_type,
                payload=item.payload,
                channels=item.channels,
                tags=item.tags,
                expires_at=item.expires_at,
                created_at=datetime_at(ids.created_at(item.id)),
            )
        )


class _Refused(Overloaded):
    """Refused by a limit that is not valid any more; to be stored again."""


def _signed(draft: Draft) -> Draft:
    """A test draft with the current actor: the batch is written in another task, which has none."""
    return draft if draft.endpoint_id is None else msgspec.structs.replace(draft, actor=current())
