"""The Receiver: verifies a request, finds the handler of its event, and sees that it runs once.

    receiver = Receiver("standard", SECRET)

    @receiver.on("order.*")
    def order(event): ...

How an event is worked on:

- **inline** (the default): before the answer. A handler that fails gives 500, and the sender tries again.
- **inbox**: kept durably, answered 202; a Worker runs the handler.
- **queue**: handed to a task queue, answered 202; a worker of the queue runs the handler.

Inline and in a queue's worker, a claim in the store keeps an event from being handled twice: it has a lease,
ends as done, and is released if the handler fails. An inbox does the same with its rows; the store is then
for `is_stale` only.
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
from angarium.receiver.route import Handler, Route, Routes, route
from angarium.receiver.scheme import Scheme, find
from angarium.receiver.verify import MAX_BODY, verify

LEASE = 60.0
"""Seconds that a handler may take before somebody else may start it again."""
TTL = 7 * 24 * 3600.0
"""Seconds that an event is remembered: longer than senders go on trying."""
RETRY_AFTER = 5.0
MAX_SOURCE = 90
"""Characters, of the hundred that the tables have."""

H = TypeVar("H", bound=Handler)


class Receiver:
    """For one sender. `secrets` may be a function, for secrets that change while the process runs.

    `source` names the sender in the store; receivers that share a store need different ones if their ids
    could meet. `clock` gives epoch seconds.
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
            raise ValueError("an event goes either into an inbox or into a queue")
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
        """The decorated function handles events of these types; see `angarium.receiver.route`.

        It takes the event, or (by its annotation) the data as a dataclass, Pydantic or msgspec model.
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
        """The decorated function handles what no pattern covers. Without it, such events are acknowledged."""
        if self._routes.default is not None:
            raise ValueError("there is a default handler already")
        self._routes.default = route(handler)
        return handler

    # ---------------------------------------------------------------------------------------- requests

    def handle(self, body: Any, headers: Given) -> Answer:
        """The answer to a request; raises nothing."""
        return run(self._handle(body, headers))

    async def ahandle(self, body: Any, headers: Given) -> Answer:
        """The same in an event loop. Handlers and stores that block run in threads."""
        return await arun(self._handle(body, headers))

    def verify(self, body: Any, headers: Given) -> Event[Any]:
        """Only the first part: the event, or a VerificationError."""
        try:
            secrets = self._secrets() if callable(self._secrets) else self._secrets
        except Exception as error:  # somebody else's function: it may raise anything
            raise BadSecret("the secrets cannot be had") from error
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
            held = answer(503, "held", "it is being worked on", retry_after=self._retry_after)
            return said(held, "held")
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
        """What has become of it; or an error that stands for an answer."""
        key = Key(self.source, event.id)
        if self.inbox is not None:
            put = step(self.inbox, "put", key, event.dump(), now=self.clock())
            kept = yield from _try(put)
            return "kept" if kept else "duplicate"
        if self._queue is not None:
            handed = yield from self._once(key, step(self._queue, "put", event.dump()), Unavailable)
            return "queued" if handed else "duplicate"
        found = self._routes.find(event.type)
        if found is None:
            return "unrouted"
        ran = yield from self._once(key, found.step(found.argument(event)))
        return "handled" if ran else "duplicate"

    def _once(self, key: Key, work: Step, failure: type[Exception] | None = None) -> Flow[bool]:
        """Do the work under a claim; False if it was done before. Errors of the work come out as they are,
        or as the cause of a `failure`, after the claim is released."""
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
        except BaseException as error:  # also of a task that is canceled
            if isinstance(error, asyncio.CancelledError) and work.threaded:
                raise  # the handler is still running: only the end of its lease frees the event
            try:
                yield step(self.store, "release", key, token)
            except Exception as away:
                record("not_released", level=logging.WARNING, error=away, source=key.source, id=key.id)
            if failure is not None and isinstance(error, Exception):
                raise failure from error
            raise
        try:
            yield step(self.store, "done", key, token, ttl=self.ttl, now=self.clock())
        except Exception as away:  # the work is done: asking for it again would be worse
            record("not_remembered", level=logging.WARNING, error=away, source=key.source, id=key.id)
        return True

    # ---------------------------------------------------------------------------------------- workers

    def process(self, item: Item) -> None:
        """Run the handler for an item of a queue, once. Its errors come out, for the queue to try again."""
        run(self._process(item))

    async def aprocess(self, item: Item) -> None:
        await arun(self._process(item))

    def _process(self, item: Item) -> Flow[None]:
        event = self.load(item)
        found = self._routes.find(event.type)
        outcome = "unrouted"
        if found is not None:
            # a name of its own, because the hand-over is remembered under the source's
            key = Key(f"{self.source}#work", event.id)
            ran = yield from self._once(key, found.step(found.argument(event)))
            outcome = "handled" if ran else "duplicate"
        record(outcome, source=self.source, id=event.id, type=event.type)

    def load(self, item: Item) -> Event[Any]:
        """The event of an item."""
        return events.load(item, self.scheme.shape)

    def work(self, event: Event[Any]) -> Flow[bool]:
        """The handler's run as a flow, for a Worker; False if there is no handler."""
        found: Route | None = self._routes.find(event.type)
        if found is None:
            return False
        yield found.step(found.argument(event))
        return True

    # ---------------------------------------------------------------------------------------- order

    def is_stale(self, event: Event[Any], resource: str) -> bool:
        """Whether a later event about this resource has been seen; and remember this one's time if not.

        Goes by `event.timestamp`, so ValueError if the body has none. A repeat of the latest is not stale.
        """
        return not self.store.advance(**self._mark(event, resource))

    async def ais_stale(self, event: Event[Any], resource: str) -> bool:
        return not await self.store.aadvance(**self._mark(event, resource))

    def _mark(self, event: Event[Any], resource: str) -> dict[str, Any]:
        if event.timestamp is None:
            raise ValueError("the body of this event does not say when it happened")
        key = Key(self.source, resource)
        return {"key": key, "at": event.timestamp.timestamp(), "ttl": self.ttl, "now": self.clock()}


class Unavailable(Exception):
    """A store, inbox or queue did not do its part."""


def _try(work: Step) -> Flow[Any]:
    """The step's result; any error of it becomes the cause of an Unavailable."""
    try:
        return (yield work)
    except Exception as error:
        raise Unavailable from error
