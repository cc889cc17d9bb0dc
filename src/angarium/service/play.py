"""Implements Play: temporary inboxes that record requests and send configurable responses.

An inbox keeps its newest requests for a day and expires a week after its last use. The signature of each
request is verified on arrival, with the secrets of the endpoints that have the inbox's URL.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from angarium.clock import Clock, datetime_at
from angarium.core import ids
from angarium.core.audit import answer_view, difference
from angarium.core.errors import BadRequest, Conflict, Invalid, NotFound, Overloaded
from angarium.core.inbox import (
    LIFETIME,
    LONGEST_DELAY,
    NO_ANSWER,
    SVIX_PLAY,
    InboxAnswer,
    InboxRequest,
    InboxUrls,
    PlayInbox,
    oldest_kept,
)
from angarium.core.keyring import Keyring
from angarium.core.nouns import Application, Endpoint
from angarium.core.outcome import MASK, plain
from angarium.core.product import Product
from angarium.core.signature import SignatureError
from angarium.core.verification import verify_request
from angarium.service.endpoint_field import SENSITIVE
from angarium.service.product import Products
from angarium.service.use_case import Subject, UseCase, existing
from angarium.store import application as application_store
from angarium.store import play as store
from angarium.store.connection import Connection
from angarium.store.database import Database

MAX_INBOXES: Final = 20  # per application
KEPT_REQUESTS: Final = 100
KEPT_BODY: Final = 64 * 1024
KEPT_HEADERS: Final = 64
KEPT_VALUE: Final = 1000
RATE: Final = 50.0  # requests per second per inbox
BURST: Final = 200.0
TURNS: Final = 3  # concurrent requests: inboxes must not use up the database connections
PATIENCE: Final = 10.0  # seconds to wait for such a turn
_EXTEND_AFTER: Final = 3600.0  # minimum seconds between extensions of an inbox's expiry
_MAX_BUCKETS: Final = 10_000
_NO_INBOX: Final = "This inbox does not exist, or has expired after a week without use."
_MAX_ENDPOINTS: Final = 10  # with the URL of one inbox
_CREDENTIALS: Final = SENSITIVE | {"cookie"}

STATUSES: Final = (
    200, 201, 202, 204, 301, 302, 307, 400, 401, 403, 404, 405, 409, 410, 413, 415, 422, 429,
    500, 501, 502, 503, 504, NO_ANSWER,
)  # fmt: skip
"""The statuses that an inbox can be set to respond with."""


@dataclass(frozen=True, slots=True)
class IncomingRequest:
    """A received request."""

    method: str
    headers: Sequence[tuple[str, str]]
    body: bytes


class Play(UseCase):
    """Creates and reads inboxes, and receives requests."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        entropy: Callable[[int], bytes],
        keyring: Keyring,
        product: Products,
        urls: InboxUrls | None,
    ) -> None:
        super().__init__(database, clock, entropy)
        self._keyring = keyring
        self._product = product
        self._urls = urls
        self._turns = asyncio.Semaphore(TURNS)
        self._buckets: OrderedDict[UUID, tuple[float, float]] = OrderedDict()

    @property
    def available(self) -> bool:
        """Whether this process knows its server's public URL."""
        return self._urls is not None

    @property
    def prefixes(self) -> tuple[str, ...]:
        """The URL prefixes of temporary receivers: of Svix Play, and of this server's inboxes."""
        return (SVIX_PLAY,) if self._urls is None else (SVIX_PLAY, self._urls.prefix)

    def url_of(self, inbox_id: UUID) -> str:
        """Raises BadRequest when this process does not know its server's public URL."""
        if self._urls is None:
            raise BadRequest(code="no_public_url")
        return self._urls.of(inbox_id)

    async def create(self, application: Application) -> PlayInbox:
        """Raises Conflict when the application is at its limit, and BadRequest as `url_of` does."""
        now = self._clock.now()
        inbox_id = ids.new(now, self._entropy(8))
        self.url_of(inbox_id)
        made = PlayInbox(inbox_id, application.org_id, application.id, InboxAnswer(), self._expiry(now))
        async with self._database.transaction() as connection:
            await application_store.hold(connection, application.org_id, application.id)
            made_by_now = await store.count(connection, application.id, datetime_at(now))
            if made_by_now >= MAX_INBOXES:
                raise Conflict(f"Inbox limit reached ({MAX_INBOXES}). Delete an inbox you no longer need.")
            await store.create(connection, made)
            await self._record(connection, "inbox.created", _subject(made))
        return made

    async def inboxes(self, app_id: UUID) -> list[tuple[PlayInbox, UUID | None]]:
        """The inboxes of an application, newest first, each with the id of its last request."""
        async with self._database.connection() as connection:
            return await store.inboxes(connection, app_id, self._now())

    async def find(self, app_id: UUID, inbox_id: UUID) -> PlayInbox:
        """Raises NotFound."""
        async with self._database.connection() as connection:
            return existing(await store.find(connection, app_id, inbox_id, self._now()))

    async def endpoints(self, inbox: PlayInbox) -> list[Endpoint]:
        """The endpoints that deliver to an inbox."""
        async with self._database.connection() as connection:
            return await store.endpoints(
                connection, inbox.app_id, self.url_of(inbox.id), self._keyring, limit=_MAX_ENDPOINTS
            )

    async def set_answer(
        self, product: Product, app_id: UUID, inbox_id: UUID, change: Callable[[InboxAnswer], InboxAnswer]
    ) -> PlayInbox:
        """Apply `change` to the response of an inbox. Returns the inbox. Raises Invalid or NotFound."""
        async with self._database.transaction() as connection:
            held = existing(await self._held(connection, app_id, inbox_id))
            answer = change(held.answer)
            _check(answer, longest_delay(product))
            changed = await store.set_answer(connection, held, answer, self._expiry(self._clock.now()))
            if (changes := difference(answer_view(held.answer), answer_view(changed.answer))) is not None:
                await self._record(connection, "inbox.updated", _subject(held), *changes)
        return changed

    async def clear(self, app_id: UUID, inbox_id: UUID) -> None:
        """Delete the requests of an inbox."""
        async with self._database.transaction() as connection:
            held = await self._held(connection, app_id, inbox_id)
            if held is not None and await store.last(connection, inbox_id) is not None:
                await store.clear(connection, app_id, inbox_id)
                await self._record(connection, "inbox.cleared", _subject(held))

    async def delete(self, app_id: UUID, inbox_id: UUID) -> None:
        """Delete an inbox and its requests; senders then get 404."""
        async with self._database.transaction() as connection:
            held = await self._held(connection, app_id, inbox_id)
            if held is not None:
                await store.delete(connection, app_id, inbox_id)
                await self._record(connection, "inbox.deleted", _subject(held))

    async def arrivals(self, inbox: PlayInbox) -> list[InboxRequest]:
        """The requests of the last day, newest first, without headers and bodies."""
        async with self._database.connection() as connection:
            return await store.arrivals(connection, inbox.id, oldest_kept(self._clock.now()))

    async def since(self, inbox: PlayInbox, after: UUID | None, limit: int) -> list[InboxRequest]:
        """Complete requests with ids greater than `after`, oldest first. Later requests have greater ids."""
        async with self._database.connection() as connection:
            oldest = oldest_kept(self._clock.now())
            return await store.since(connection, inbox.id, max(after or oldest, oldest), limit)

    async def arrival(self, inbox: PlayInbox, arrival_id: UUID) -> InboxRequest | None:
        """One complete request."""
        async with self._database.connection() as connection:
            return await store.arrival(connection, inbox.id, arrival_id)

    async def last(self, inbox: PlayInbox) -> UUID | None:
        """The id of the newest request. It changes when a request arrives and when all are deleted."""
        async with self._database.connection() as connection:
            return await store.last(connection, inbox.id)

    async def expect(self, inbox_id: UUID) -> None:
        """Check, before the body is read, that the inbox exists and is below its rate limit.

        Raises NotFound or Overloaded.
        """
        self._count(inbox_id)
        async with self._turn(), self._database.connection() as connection:
            if not await store.is_living(connection, inbox_id, self._now()):
                raise NotFound(_NO_INBOX)

    async def receive(self, inbox_id: UUID, request: IncomingRequest) -> InboxAnswer:
        """Store a request that `expect` allowed; returns the response to send and its delay.

        Raises NotFound, Overloaded, and BadRequest as `url_of` does.
        """
        async with self._turn():
            return await self._take(inbox_id, request)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Limit concurrency. Raises Overloaded when no turn is free in time."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self._turns.acquire()
        except TimeoutError:
            raise Overloaded from None
        try:
            yield
        finally:
            self._turns.release()

    async def _take(self, inbox_id: UUID, request: IncomingRequest) -> InboxAnswer:
        now = self._clock.now()
        async with self._database.transaction() as connection:
            inbox = await store.take(connection, inbox_id, datetime_at(now))
            if inbox is None:
                raise NotFound(_NO_INBOX)
            url = self.url_of(inbox_id)
            senders = await store.endpoints(
                connection, inbox.app_id, url, self._keyring, limit=_MAX_ENDPOINTS
            )
            product = await self._product.of(inbox.org_id, connection)
            verified, finding = _judged(product, senders, request, now)
            answer = self._drawn(inbox.answer)
            arrival = InboxRequest(
                id=_after(await store.last(connection, inbox_id), ids.new(now, self._entropy(8))),
                method=plain(request.method, 20),
                headers=_kept(request.headers, senders),
                body=request.body[:KEPT_BODY],
                size=len(request.body),
                status_code=answer.status_code,
                verified=verified,
                finding=finding,
            )
            await store.put(connection, inbox_id, arrival, kept=KEPT_REQUESTS)
            if inbox.expires_at.timestamp() < now + LIFETIME - _EXTEND_AFTER:
                await store.extend(connection, inbox_id, self._expiry(now))
        return answer

    async def _held(self, connection: Connection, app_id: UUID, inbox_id: UUID) -> PlayInbox | None:
        """The application's inbox, locked until the transaction ends; None if it is missing or expired."""
        held = await store.take(connection, inbox_id, self._now())
        return held if held is not None and held.app_id == app_id else None

    def _drawn(self, answer: InboxAnswer) -> InboxAnswer:
        drawn = int.from_bytes(self._entropy(4), "big") * 100 >> 32
        return InboxAnswer(500, answer.delay) if drawn < answer.failure_percent else answer

    def _count(self, inbox_id: UUID) -> None:
        """Raises Overloaded when an inbox is over its rate limit."""
        now = self._clock.steady()
        left, since = self._buckets.pop(inbox_id, (BURST, now))
        left = min(BURST, left + (now - since) * RATE)
        room = left >= 1
        self._buckets[inbox_id] = (left - 1 if room else left, now)
        if len(self._buckets) > _MAX_BUCKETS:
            self._buckets.popitem(last=False)
        if not room:
            raise Overloaded(f"Rate limit of this inbox exceeded ({RATE:g} requests per second).")

    def _expiry(self, now: float) -> datetime:
        return datetime_at(now + LIFETIME)


def _subject(inbox: PlayInbox) -> Subject:
    return Subject(inbox.org_id, inbox.app_id, ids.text(ids.INBOX, inbox.id))


def _after(last: UUID | None, made: UUID) -> UUID:
    """An id greater than the last, even if processes' clocks differ: requests are read by a cursor."""
    return made if last is None or made > last else UUID(int=last.int + 1)


def _check(answer: InboxAnswer, longest: float) -> None:
    if answer.status_code not in STATUSES:
        raise Invalid.field("status", f"The status must be one of {', '.join(map(str, STATUSES))}.")
    if not 0 <= answer.delay <= longest:
        raise Invalid.field("delay", f"The delay must be between 0 and {longest:g} seconds.")
    if not 0 <= answer.failure_percent <= 100:
        raise Invalid.field("failures", "The failure rate must be between 0 and 100 percent.")


def longest_delay(product: Product) -> float:
    """The maximum delay of an inbox in seconds: below the product's timeout and LONGEST_DELAY."""
    return min(product.timeout, LONGEST_DELAY) - 1


def _judged(
    product: Product, endpoints: Sequence[Endpoint], request: IncomingRequest, now: float
) -> tuple[bool | None, str]:
    """Whether the request is signed with a secret of one of the endpoints, and the reason as text."""
    if not endpoints:
        return (
            None,
            "No endpoint has the URL of this inbox, so there is no secret to verify with.",
        )
    if not request.headers:
        return False, "The request has no headers, so it is not signed."
    secrets = [
        key.secret
        for endpoint in endpoints
        for key in endpoint.keys
        if key.expires_at is None or key.expires_at > now
    ]
    try:
        verify_request(product.profile, secrets, dict(request.headers), request.body, now=now)
    except SignatureError as error:
        return False, f"Not verified: {error}. {_ADVICE.get(str(error), '')}".strip()
    return True, "Signed with the secret of your endpoint, and unchanged."


_ADVICE: Final = {
    "no signature fits": "The body was changed after signing, or it was signed with another secret.",
    "the timestamp is too old": "The request was signed more than five minutes ago and may be a replay.",
}


def _kept(headers: Sequence[tuple[str, str]], senders: Sequence[Endpoint]) -> list[tuple[str, str]]:
    """Headers as they are shown: limited in number and length, without credentials.

    The values of endpoints' custom headers are masked too, because they may be credentials.
    """
    hidden = _CREDENTIALS.union(name.lower() for endpoint in senders for name in endpoint.headers)
    return [
        (plain(name, 100), MASK if name.lower() in hidden else plain(value, KEPT_VALUE))
        for name, value in headers[:KEPT_HEADERS]
    ]
