"""The Receiver: verifies a request, finds the handler of its event, and runs it once.

    receiver = Receiver("standard", SECRET)

    @receiver.on("order.*")
    def order(event): ...

The handler runs in one of three ways:

- **inline** (the default): before the response. If it fails, the response is 500, and the sender retries.
- **inbox**: the event is stored durably, and the response is 202. A Worker runs the handler.
- **queue**: the event is passed to a task queue, and the response is 202. Its worker runs the handler.

Inline and in a queue's worker, a claim in the store prevents an event from being handled twice. A claim has
a lease, ends as done, and is released if the handler fails. An inbox does the same with its rows, and then
the store is used for `is_stale` only.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar
from uuid import uuid4

from angarium.receiver import event as events
from angarium.receiver import secret
from angarium.receiver.backend import Claim, Inbox, Item, Key, Queue, Store
from angarium.receiver.backend.memory import MemoryStore
from angarium.receiver.errors import BadPayload, BadSecret, LeaseHeld, RetryLater, VerificationError
from angarium.receiver.event import Event
from angarium.receiver.flow import Flow, Step, arun, run, step
from angarium.receiver.headers import Given
from angarium.receiver.outcome import Answer, answer, record, refusal
from angarium.receiver.route import Handler, Routes, route
from angarium.receiver.scheme import Scheme, find
from angarium.receiver.verify import MAX_BODY, verify

LEASE = 60.0
"""Seconds that a handler may take before another process may start it again."""
TTL = 7 * 24 * 3600.0
"""Seconds for which an event is remembered: longer than senders retry."""
RETRY_AFTER = 5.0
"""Seconds after which a sender should retry, when the store is unavailable or the claim is held."""
MAX_SOURCE = 90
"""Characters. The columns have 100, and some keys add a suffix."""

H = TypeVar("H", bound=Handler)


class Receiver:
    """Receives the webhooks of one sender.

    `secrets` may be a function, for secrets that change while the process runs. `source` is the sender's name
    in the store: receivers that share a store need different ones. `clock` returns epoch seconds.
    """

    def __init__(
        self,
        scheme: str | Scheme,
        secrets: secret.Secrets | Callable[[], secret.Secrets],
        *,
        store: Store | None = None,
        inbox: Inbox | None = None,
        queue: Queue | None = None,
        source: str | None = None,
        tolerance: float | None = None,
        max_body: int = MAX_BODY,
        lease: float = LEASE,
        ttl: float = TTL,
        retry_after: float = RETRY_AFTER,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if inbox is not None and queue is not None:
            raise ValueError("a receiver can have an inbox or a queue, not both")
        self.scheme = find(scheme)
        self.source = source or self.scheme.name
        if len(self.source) > MAX_SOURCE:
            raise ValueError(f"a source has at most {MAX_SOURCE} characters")
        self.max_body = max_body
        self.lease = lease
        self.ttl = ttl
        self.inbox = inbox
        self.store = store or MemoryStore()
        self.clock = clock
        self._secrets = secrets if callable(secrets) else secret.each(secrets)
        if not callable(self._secrets):
            self.scheme.accept(self._secrets)
        self._queue = queue
        self._tolerance = tolerance
        self._retry_after = retry_after
        self._routes = Routes()
        if queue is not None:
            queue.bind(self)

    # ---------------------------------------------------------------------------------------- handlers

    def on(self, *patterns: str, payload: Any = None) -> Callable[[H], H]:
        """Decorates the handler of these event types or wildcards; see `angarium.receiver.route`.

        It gets the event or, by its annotation, the data as a dataclass, Pydantic or msgspec model.
        """
        if not patterns:
            raise ValueError("@receiver.on needs at least one event type or wildcard")

        def add(handler: H) -> H:
            made = route(handler, payload)
            for pattern in patterns:
                self._routes.add(pattern, made)
            return handler

        return add

    def default(self, handler: H) -> H:
        """Decorates the handler of all other events. Without it, they are acknowledged and dropped."""
        if self._routes.default is not None:
            raise ValueError("there is already a default handler")
        self._routes.default = route(handler)
        return handler

    # ---------------------------------------------------------------------------------------- requests

    def handle(self, body: Any, headers: Given) -> Answer:
        """The response to a request. Raises nothing."""
        return run(self._handle(body, headers))

    async def ahandle(self, body: Any, headers: Given) -> Answer:
        """The same in an event loop. Blocking handlers and stores run in threads."""
        return await arun(self._handle(body, headers))

    def verify(self, body: Any, headers: Given) -> Event[Any]:
        """Verify only: returns the event, or raises VerificationError."""
        try:
            secrets = self._secrets() if callable(self._secrets) else self._secrets
        except Exception as error:  # the given function may raise any exception
            raise BadSecret("the function that returns the secrets failed") from error
        return verify(
            body,
            headers,
            secrets,
            self.scheme,
            tolerance=self._tolerance,
            clock=self.clock,
            max_body=self.max_body,
        )

    def _handle(self, body: Any, headers: Given) -> Flow[Answer]:
        started = time.perf_counter()
        known: dict[str, Any] = {"source": self.source}

        def said(
            made: Answer, outcome: str, level: int = logging.INFO, error: BaseException | None = None
        ) -> Answer:
            spent = (time.perf_counter() - started) * 1000
            record(outcome, level=level, error=error, status=made.status, **known, ms=spent)
            return made

        try:
            event = self.verify(body, headers)
        except VerificationError as error:
            ours = error.status == 500
            return said(
                refusal(error),
                error.code,
                logging.ERROR if ours else logging.WARNING,
                error if ours else None,
            )
        known |= {"id": event.id, "type": event.type}
        try:
            outcome = yield from self._accept(event)
        except BadPayload as error:
            known["detail"] = str(error)
            return said(answer(400, "bad_payload", str(error)), "bad_payload", logging.WARNING)
        except RetryLater as error:
            return said(answer(503, "retry_later", retry_after=error.seconds), "retry_later")
        except LeaseHeld:
            why = "another request is handling this event"
            return said(answer(503, "held", why, retry_after=self._retry_after), "held")
        except Unavailable as error:
            away = answer(503, "unavailable", retry_after=self._retry_after)
            return said(away, "unavailable", logging.ERROR, error.__cause__)
        except Exception as error:
            return said(answer(500, "failed"), "failed", logging.ERROR, error)
        level = logging.INFO
        if outcome == "unrouted" and isinstance(event.body, bytes):
            level, known["detail"] = logging.WARNING, "the body is not JSON, and there is no default handler"
        return said(answer(202 if outcome in ("kept", "queued") else 200, outcome), outcome, level)

    def _accept(self, event: Event[Any]) -> Flow[str]:
        """Handle, store or pass on the event. Returns the outcome; `_handle` answers errors."""
        key = Key(self.source, event.id)
        if self.inbox is not None:
            put = step(self.inbox, "put", key, event.dump(), now=self.clock())
            kept = yield from _try(put)
            return "kept" if kept else "duplicate"
        if self._queue is not None:
            queued = yield from self._once(key, step(self._queue, "put", event.dump()), Unavailable)
            return "queued" if queued else "duplicate"
        return (yield from self._run(key, event))

    def _run(self, key: Key, event: Event[Any]) -> Flow[str]:
        found = self._routes.find(event.type)
        if found is None:
            return "unrouted"
        ran = yield from self._once(key, found.step(event))
        return "handled" if ran else "duplicate"

    def _once(self, key: Key, work: Step, failure: type[Exception] | None = None) -> Flow[bool]:
        """Do the work under a claim. False if it was done before. If the work fails, the claim is released,
        and the error is raised, or a `failure` with the error as its cause."""
        token = uuid4().hex
        claim = yield from _try(step(self.store, "claim", key, token, lease=self.lease, now=self.clock()))
        if claim is Claim.DONE:
            return False
        if claim is Claim.HELD:
            raise LeaseHeld
        try:
            yield work
        except GeneratorExit:
            raise
        except BaseException as error:  # includes the cancellation of a task
            if isinstance(error, asyncio.CancelledError) and work.threaded:
                raise  # the handler is still running: the claim ends with its lease
            try:
                yield step(self.store, "release", key, token)
            except Exception as away:
                record("not_released", level=logging.WARNING, error=away, source=key.source, id=key.id)
            if failure is not None and isinstance(error, Exception):
                raise failure from error
            raise
        try:
            yield step(self.store, "done", key, token, ttl=self.ttl, now=self.clock())
        except Exception as away:  # the work is done: a retry would be worse
            record("not_remembered", level=logging.WARNING, error=away, source=key.source, id=key.id)
        return True

    # ---------------------------------------------------------------------------------------- workers

    def process(self, item: Item) -> None:
        """Run the handler for an item of a queue, once. Raises its errors, so that the queue retries."""
        run(self._process(item))

    async def aprocess(self, item: Item) -> None:
        await arun(self._process(item))

    def _process(self, item: Item) -> Flow[None]:
        event = self.load(item)
        # a separate key: that of the source remembers that the event was passed to the queue
        outcome = yield from self._run(Key(f"{self.source}#work", event.id), event)
        record(outcome, source=self.source, id=event.id, type=event.type)

    def load(self, item: Item) -> Event[Any]:
        """The event of an item."""
        return events.load(item, self.scheme.shape)

    def work(self, event: Event[Any]) -> Flow[bool]:
        """Run the handler, for a Worker. False if there is none."""
        found = self._routes.find(event.type)
        if found is None:
            return False
        yield found.step(event)
        return True

    # ---------------------------------------------------------------------------------------- order

    def is_stale(self, event: Event[Any], resource: str) -> bool:
        """Whether a later event about this resource was seen. If not, the time of this one is remembered.

        Compares `event.timestamp`; ValueError if the body has none. A duplicate of the latest is not stale.
        """
        return not self.store.advance(**self._mark(event, resource))

    async def ais_stale(self, event: Event[Any], resource: str) -> bool:
        return not await self.store.aadvance(**self._mark(event, resource))

    def _mark(self, event: Event[Any], resource: str) -> dict[str, Any]:
        if event.timestamp is None:
            raise ValueError("the body of this event has no timestamp")
        key = Key(self.source, resource)
        return {"key": key, "at": event.timestamp.timestamp(), "ttl": self.ttl, "now": self.clock()}


class Unavailable(Exception):
    """A store, inbox or queue failed."""


def _try(work: Step) -> Flow[Any]:
    """The step's result. Raises Unavailable, whose cause is the error of the step."""
    try:
        return (yield work)
    except Exception as error:
        raise Unavailable from error
