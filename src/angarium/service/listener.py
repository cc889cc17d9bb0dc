"""Serves listeners: a developer's machine fetches the deliveries of an endpoint and reports the responses.

In all other respects a listener is an ordinary endpoint: messages are matched to it, attempts and responses
are in its log, failures are retried on the schedule, and it supports recover and resend. Its deliveries wait
in the database until they are fetched, so none is lost while no listener is connected.

Each waiting listener polls the database, so their number is limited in a process. A lower limit per
application keeps one of them from using up the total.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from angarium import json_bounds
from angarium.clock import Clock, datetime_at
from angarium.core import canonical, ids
from angarium.core.errors import BadRequest, Conflict, Invalid, NotFound, Overloaded, TooManyFailures
from angarium.core.failure import kind_of
from angarium.core.lifecycle import CANCELED, advance
from angarium.core.nouns import Application, Endpoint, State
from angarium.core.outcome import MAX_WORDS, AttemptResult, explain_status, plain
from angarium.core.product import Product
from angarium.service.endpoint import Endpoints
from angarium.service.endpoint_field import EndpointDraft, shown
from angarium.service.product import Products
from angarium.service.replay import RECENT, Replay
from angarium.service.use_case import UseCase
from angarium.store import complete
from angarium.store import listener as store
from angarium.store.complete import Completion
from angarium.store.database import Database
from angarium.store.listener import Fetched
from angarium.store.shard import PULLED

LEASE: Final = (5.0, 60.0, 300.0)  # seconds to answer fetched deliveries: minimum, default, maximum
LONGEST_WAIT: Final = 30.0
LOOK: Final = 0.5  # seconds between queries while a listener waits
MAX_FETCH: Final = 100
MAX_WAITING: Final = 200  # listeners in a process
MAX_OF_APPLICATION: Final = 20
AGAIN: Final = 2.0  # Retry-After in seconds: a listener that gets deliveries stops waiting
URL: Final = "https://listener.invalid/"  # RFC 6761: a name that never resolves


class Receipt(msgspec.Struct, frozen=True, array_like=True):
    """Identifies the fetched delivery that an answer is for; opaque to clients."""

    message_id: UUID
    state: int
    failures: int
    number: int
    manual_at: float | None
    started_at: float
    test: bool = False

    def text(self) -> str:
        return canonical.url_safe_text(msgspec.json.encode(self))

    @classmethod
    def read(cls, text: str) -> Receipt:
        """Raises Invalid."""
        try:
            packed = canonical.url_safe(text)
            json_bounds.check(packed)
            found = msgspec.json.decode(packed, type=cls)
            State(found.state)
        except ValueError:  # msgspec's errors are ValueErrors
            raise Invalid.field("receipt", "Not a receipt of a delivery.") from None
        plausible = (
            0 <= found.failures < 2**15 and 1 <= found.number < 2**15 and 0 <= found.started_at < 2**35
        )
        if not plausible or found.text() != text:
            raise Invalid.field("receipt", "Not a receipt of a delivery.")
        return found


@dataclass(frozen=True, slots=True)
class FetchedDelivery:
    """A fetched delivery: the request as it would have been sent, without secret headers."""

    receipt: str
    message_id: UUID
    event_type: str
    number: int
    headers: list[tuple[str, str]] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Report:
    """The response of the listener's local receiver. `status_code` 0: no HTTP response; `error` says why."""

    receipt: str
    status_code: int
    duration_ms: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    error: str | None = None


class Listeners(UseCase):
    """Opens listeners, hands out their deliveries, and records the results."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        entropy: Callable[[int], bytes],
        endpoints: Endpoints,
        replay: Replay,
        products: Products,
        held: Callable[[], bool] = lambda: False,
    ) -> None:
        """`held`: no delivery may be handed out now."""
        super().__init__(database, clock, entropy)
        self._held = held
        self._endpoints = endpoints
        self._replay = replay
        self._products = products
        self._waiting = WaitingLimit()
        self._chance = random.Random(entropy(16))  # noqa: S311 (jitter, not security)

    async def open(
        self,
        application: Application,
        name: str,
        event_types: tuple[str, ...] | None,
        channels: tuple[str, ...] | None,
    ) -> Endpoint:
        """Create or reopen the listener of this name. A disabled one is enabled and recovered.

        Raises Invalid.
        """
        uid = f"listener.{name}"
        draft = EndpointDraft(
            url=URL + name,
            description=f"Listener {name}",
            uid=uid,
            event_types=event_types,
            channels=channels,
        )
        try:
            found = await self._endpoints.create(application, draft, pulled=True)
        except Conflict:
            before = await self._pulled(application.id, uid)
            found = await self._endpoints.update(
                application,
                uid,
                lambda known: replace(known, event_types=event_types, channels=channels, disabled=False),
            )
            if before.disabled_at is not None:
                since = self._clock.now() - RECENT
                await self._replay.recover(application.org_id, application.id, uid, datetime_at(since), None)
        async with self._database.connection() as connection:
            await store.running(connection, application.id, found.id, self._now())
        return found

    async def fetch(
        self,
        app_id: UUID,
        ref: str,
        *,
        limit: int,
        wait: float,
        lease: float,
        left: Callable[[], Awaitable[bool]],
    ) -> list[FetchedDelivery]:
        """At most `limit` due deliveries; waits up to `wait` seconds for the first one.

        Deliveries that are not answered within `lease` seconds become due again. Nothing is handed out once
        the caller has `left`. Raises NotFound, BadRequest when the listener is disabled, and Throttled or
        Overloaded when too many wait.
        """
        endpoint = await self._pulled(app_id, ref)
        if endpoint.disabled_at is not None:
            raise BadRequest(code="listener_disabled")
        with self._waiting.joined(app_id):
            product = await self._products.of(endpoint.org_id)
            deadline = self._clock.steady() + min(wait, LONGEST_WAIT)
            async with self._database.connection() as connection:
                await store.running(connection, app_id, endpoint.id, self._now())
            while not await left():
                now = self._clock.now()
                async with self._database.connection() as connection:
                    fetched = await store.fetch(
                        *(connection, app_id, endpoint.id, datetime_at(now), datetime_at(now + lease)),
                        0 if self._held() else limit,
                    )
                gone = [one for one in fetched if one.payload is None]
                if gone:
                    await self._complete([_gone(endpoint, one, now, self._entropy) for one in gone])
                deliveries = [
                    self._fetched(endpoint, product, one, now) for one in fetched if one.payload is not None
                ]
                left_over = deadline - self._clock.steady()
                if deliveries or left_over <= 0:
                    return deliveries
                await self._clock.wait(asyncio.Event(), self._clock.now() + min(left_over, LOOK))
            return []

    async def answer(self, app_id: UUID, ref: str, reports: Sequence[Report]) -> None:
        """Record attempts. A late or repeated report does not change newer state. Raises Invalid."""
        endpoint = await self._pulled(app_id, ref)
        product = await self._products.of(endpoint.org_id)
        completions = {}
        for report in reports:
            completion = self._completion(endpoint, product, report)
            completions[completion.message_id] = completion
        await self._complete(list(completions.values()))

    async def _complete(self, completions: list[Completion]) -> None:
        async with self._database.connection() as connection:
            await complete.complete(connection, completions, [])

    async def _pulled(self, app_id: UUID, ref: str) -> Endpoint:
        found = await self._endpoints.find(app_id, ref)
        if found.shard != PULLED:
            raise NotFound()
        return found

    def _fetched(self, endpoint: Endpoint, product: Product, one: Fetched, now: float) -> FetchedDelivery:
        assert one.payload is not None
        manual_at = None if one.manual_at is None else one.manual_at.timestamp()
        receipt = Receipt(one.message_id, one.state, one.failures, one.attempts + 1, manual_at, now, one.test)
        return FetchedDelivery(
            receipt=receipt.text(),
            message_id=one.message_id,
            event_type=one.event_type,
            number=one.attempts + 1,
            headers=product.message_format.headers(
                message_id=one.message_id,
                event_type=one.event_type,
                body=one.payload,
                keys=product.message_format.keys(endpoint.keys),
                custom=shown(endpoint.headers)[0],  # the listener must not get secret values
                now=now,
                content_type=one.content_type,
            ),
            body=one.payload,
        )

    def _completion(self, endpoint: Endpoint, product: Product, report: Report) -> Completion:
        receipt = Receipt.read(report.receipt)
        now = self._clock.now()
        if report.status_code:
            kind, words = explain_status(report.status_code, None)
        else:
            kind, words = (
                kind_of("local"),
                plain(report.error or "The listener's local server did not respond.")[:MAX_WORDS],
            )
        answer = AttemptResult(
            report.status_code, kind, words, report.body, report.duration_ms, headers=report.headers
        )
        following = advance(
            answer,
            state=State(receipt.state),
            manual=receipt.manual_at is not None,
            test=receipt.test,
            failures=receipt.failures,
            on_gone=False,  # only the developer who runs a listener closes it
            schedule=product.schedule,
            now=now,
            chance=self._chance.random(),
        )
        return Completion(
            # derived from the attempt, so that a repeated report is recorded once
            attempt_id=ids.new(receipt.started_at, receipt.message_id.bytes[-8:]),
            app_id=endpoint.app_id,
            endpoint_id=endpoint.id,
            message_id=receipt.message_id,
            move=following.move,
            failures=receipt.failures,
            number=receipt.number,
            due_at=following.due,
            manual_at=_moment(receipt.manual_at),
            answer=answer,
            succeeded=answer.delivered,
            revision=endpoint.revision,
        )


def _moment(at: float | None) -> datetime | None:
    return None if at is None else datetime_at(at)


def _gone(endpoint: Endpoint, one: Fetched, now: float, entropy: Callable[[int], bytes]) -> Completion:
    return Completion(
        attempt_id=ids.new(now, entropy(8)),
        app_id=endpoint.app_id,
        endpoint_id=endpoint.id,
        message_id=one.message_id,
        move=CANCELED.move,
        failures=one.failures,
        number=0,
        due_at=None,
        manual_at=one.manual_at,
        answer=None,
        succeeded=False,
        revision=endpoint.revision,
    )


class WaitingLimit:
    """Counts the listeners that wait now."""

    def __init__(self) -> None:
        self._waiting: Counter[UUID] = Counter()

    @contextlib.contextmanager
    def joined(self, app_id: UUID) -> Iterator[None]:
        """Count as waiting within the context.

        Raises TooManyFailures at the application's limit, and Overloaded at the limit of the process.
        """
        if self._waiting[app_id] >= MAX_OF_APPLICATION:
            raise TooManyFailures(code="too_many_listeners", most=MAX_OF_APPLICATION, retry_after=AGAIN)
        if self._waiting.total() >= MAX_WAITING:
            raise Overloaded("Too many listeners are waiting on this server.", retry_after=AGAIN)
        self._waiting[app_id] += 1
        try:
            yield
        finally:
            self._waiting[app_id] -= 1
            self._waiting += Counter()  # drops applications without waiting listeners
