"""Play: throw-away inboxes that show what an endpoint would get, and answer as one likes.

An inbox keeps its newest requests for a day, and lives for a week after it was last used. Whether a request
is signed as it should be is judged when it comes in, with the secrets of the endpoints that have its URL.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from angarium.clock import Clock, datetime_at
from angarium.core import ids
from angarium.core.audit import AuditEvent, answer_view, difference
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
from angarium.service import audit
from angarium.service.endpoint_header import SENSITIVE
from angarium.service.product import Products
from angarium.store import application as application_store
from angarium.store import play as store
from angarium.store.connection import Connection
from angarium.store.database import Database

MAX_INBOXES: Final = 20  # of one application
KEPT_REQUESTS: Final = 100
KEPT_BODY: Final = 64 * 1024
KEPT_HEADERS: Final = 64
KEPT_VALUE: Final = 1000
RATE: Final = 50.0  # requests a second that one inbox takes
BURST: Final = 200.0
TURNS: Final = 3  # requests taken at the same time: inboxes must not use up the connections to the database
PATIENCE: Final = 10.0  # seconds to wait for such a turn
_EXTEND_AFTER: Final = 3600.0  # seconds after which another use makes an inbox live longer again
_MAX_BUCKETS: Final = 10_000
_NO_INBOX: Final = "There is no such inbox, or it was not used for a week."
_MAX_ENDPOINTS: Final = 10  # that an inbox is looked for among
_CREDENTIALS: Final = SENSITIVE | {"cookie"}

STATUSES: Final = (
    200, 201, 202, 204, 301, 302, 307, 400, 401, 403, 404, 405, 409, 410, 413, 415, 422, 429,
    500, 501, 502, 503, 504, NO_ANSWER,
)  # fmt: skip
"""What an inbox can be told to answer with."""


@dataclass(frozen=True, slots=True)
class IncomingRequest:
    """What came in."""

    method: str
    headers: Sequence[tuple[str, str]]
    body: bytes


class Play:
    """Make inboxes, look into them, and take what is sent to them."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        entropy: Callable[[int], bytes],
        keyring: Keyring,
        product: Products,
        urls: InboxUrls | None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._entropy = entropy
        self._keyring = keyring
        self._product = product
        self._urls = urls
        self._turns = asyncio.Semaphore(TURNS)
        self._buckets: OrderedDict[UUID, tuple[float, float]] = OrderedDict()

    @property
    def available(self) -> bool:
        """Whether this process knows how its own server is reached."""
        return self._urls is not None

    @property
    def prefixes(self) -> tuple[str, ...]:
        """What the URLs of throw-away receivers begin with: of Svix's, and of the inboxes of this server."""
        return (SVIX_PLAY,) if self._urls is None else (SVIX_PLAY, self._urls.prefix)

    def url_of(self, inbox_id: UUID) -> str:
        """Raises BadRequest when this process does not know its own server's address."""
        if self._urls is None:
            raise BadRequest(
                "Play needs to know this server's own address. Whoever runs it sets ANGARIUM_PUBLIC_URL.",
                code="no_public_url",
            )
        return self._urls.of(inbox_id)

    async def create(self, application: Application) -> PlayInbox:
        """Raises Conflict when the application has as many as it may have, and BadRequest as `url_of`."""
        now = self._clock.now()
        inbox_id = ids.new(now, self._entropy(8))
        self.url_of(inbox_id)
        made = PlayInbox(inbox_id, application.org_id, application.id, InboxAnswer(), self._expiry(now))
        async with self._database.transaction() as connection:
            await application_store.hold(connection, application.org_id, application.id)
            made_by_now = await store.count(connection, application.id, datetime_at(now))
            if made_by_now >= MAX_INBOXES:
                raise Conflict(f"There are {MAX_INBOXES} inboxes already. Delete one that is not needed.")
            await store.create(connection, made)
            await self._record(connection, made, "inbox.created")
        return made

    async def inboxes(self, app_id: UUID) -> list[tuple[PlayInbox, UUID | None]]:
        """The inboxes of an application, newest first, each with the id of the last request in it."""
        async with self._database.connection() as connection:
            return await store.inboxes(connection, app_id, self._now())

    async def find(self, app_id: UUID, inbox_id: UUID) -> PlayInbox:
        """Raises NotFound."""
        async with self._database.connection() as connection:
            found = await store.find(connection, app_id, inbox_id, self._now())
        if found is None:
            raise NotFound()
        return found

    async def endpoints(self, inbox: PlayInbox) -> list[Endpoint]:
        """The endpoints that deliver into an inbox."""
        async with self._database.connection() as connection:
            return await store.endpoints(
                connection, inbox.app_id, self.url_of(inbox.id), self._keyring, limit=_MAX_ENDPOINTS
            )

    async def set_answer(
        self, product: Product, app_id: UUID, inbox_id: UUID, change: Callable[[InboxAnswer], InboxAnswer]
    ) -> PlayInbox:
        """Have an inbox answer differently from now on: as `change` makes of how it does. Gives the inbox.

        Raises Invalid or NotFound.
        """
        async with self._database.transaction() as connection:
            held = await self._held(connection, app_id, inbox_id)
            if held is None:
                raise NotFound()
            answer = change(held.answer)
            _check(answer, longest_delay(product))
            changed = await store.set_answer(connection, held, answer, self._expiry(self._clock.now()))
            if (changes := difference(answer_view(held.answer), answer_view(changed.answer))) is not None:
                await self._record(connection, held, "inbox.updated", *changes)
        return changed

    async def clear(self, app_id: UUID, inbox_id: UUID) -> None:
        """Forget the requests of an inbox."""
        async with self._database.transaction() as connection:
            held = await self._held(connection, app_id, inbox_id)
            if held is not None and await store.last(connection, inbox_id) is not None:
                await store.clear(connection, app_id, inbox_id)
                await self._record(connection, held, "inbox.cleared")

    async def delete(self, app_id: UUID, inbox_id: UUID) -> None:
        """Forget an inbox and its requests; who sends to it gets 404."""
        async with self._database.transaction() as connection:
            held = await self._held(connection, app_id, inbox_id)
            if held is not None:
                await store.delete(connection, app_id, inbox_id)
                await self._record(connection, held, "inbox.deleted")

    async def arrivals(self, inbox: PlayInbox) -> list[InboxRequest]:
        """The requests of the last day, newest first, without headers and bodies."""
        async with self._database.connection() as connection:
            return await store.arrivals(connection, inbox.id, oldest_kept(self._clock.now()))

    async def since(self, inbox: PlayInbox, after: UUID | None, limit: int) -> list[InboxRequest]:
        """Whole requests that came after one, oldest first. One that comes later has a greater id."""
        async with self._database.connection() as connection:
            oldest = oldest_kept(self._clock.now())
            return await store.since(connection, inbox.id, max(after or oldest, oldest), limit)

    async def arrival(self, inbox: PlayInbox, arrival_id: UUID) -> InboxRequest | None:
        """One request, whole."""
        async with self._database.connection() as connection:
            return await store.arrival(connection, inbox.id, arrival_id)

    async def last(self, inbox: PlayInbox) -> UUID | None:
        """The id of the newest request: it changes when one comes in, and when all are forgotten."""
        async with self._database.connection() as connection:
            return await store.last(connection, inbox.id)

    async def expect(self, inbox_id: UUID) -> None:
        """Before the body of a request is read: whether there is such an inbox, and it takes another request.

        Raises NotFound, and Overloaded when the inbox gets more than it takes.
        """
        self._count(inbox_id)
        async with self._turn(), self._database.connection() as connection:
            if not await store.is_living(connection, inbox_id, self._now()):
                raise NotFound(_NO_INBOX)

    async def receive(self, inbox_id: UUID, request: IncomingRequest) -> InboxAnswer:
        """Take a request that was expected; gives what it is to be answered with, after which delay.

        Raises NotFound, Overloaded, and BadRequest as `url_of`.
        """
        async with self._turn():
            return await self._take(inbox_id, request)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Raises Overloaded when none comes."""
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
            verified, finding = _judged(await self._product.of(inbox.org_id), senders, request, now)
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
        """The living inbox of the application, which nobody else changes until the transaction ends."""
        held = await store.take(connection, inbox_id, self._now())
        return held if held is not None and held.app_id == app_id else None

    async def _record(
        self,
        connection: Connection,
        inbox: PlayInbox,
        action: str,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> None:
        audit_event = AuditEvent(
            inbox.org_id, inbox.app_id, action, ids.text(ids.INBOX, inbox.id), before, after
        )
        await audit.record(connection, self._clock.now(), self._entropy, audit_event)

    def _drawn(self, answer: InboxAnswer) -> InboxAnswer:
        drawn = int.from_bytes(self._entropy(4), "big") * 100 >> 32
        return InboxAnswer(500, answer.delay) if drawn < answer.failure_percent else answer

    def _count(self, inbox_id: UUID) -> None:
        """Raises Overloaded when an inbox gets more than its rate."""
        now = self._clock.steady()
        left, since = self._buckets.pop(inbox_id, (BURST, now))
        left = min(BURST, left + (now - since) * RATE)
        room = left >= 1
        self._buckets[inbox_id] = (left - 1 if room else left, now)
        if len(self._buckets) > _MAX_BUCKETS:
            self._buckets.popitem(last=False)
        if not room:
            raise Overloaded(f"An inbox takes {RATE:g} requests a second. Send more slowly.")

    def _expiry(self, now: float) -> datetime:
        return datetime_at(now + LIFETIME)

    def _now(self) -> datetime:
        return datetime_at(self._clock.now())


def _after(last: UUID | None, made: UUID) -> UUID:
    """An id greater than the last, whatever two processes' clocks say: requests are read by a cursor."""
    return made if last is None or made > last else UUID(int=last.int + 1)


def _check(answer: InboxAnswer, longest: float) -> None:
    if answer.status_code not in STATUSES:
        raise Invalid.field("status", "Choose one of the statuses in the list.")
    if not 0 <= answer.delay <= longest:
        raise Invalid.field("delay", f"The delay must be from 0 to {longest:g} seconds.")
    if not 0 <= answer.failure_percent <= 100:
        raise Invalid.field("failures", "The share of failures must be from 0 to 100 percent.")


def longest_delay(product: Product) -> float:
    """Seconds that an inbox may be told to wait: an answer within the product's timeout, and never long."""
    return min(product.timeout, LONGEST_DELAY) - 1


def _judged(
    product: Product, endpoints: Sequence[Endpoint], request: IncomingRequest, now: float
) -> tuple[bool | None, str]:
    """Whether the request is signed with a secret of one of the endpoints, and why (not)."""
    if not endpoints:
        return None, "No endpoint has the URL of this inbox, so there is no secret to verify with."
    if not request.headers:
        return False, "It has no headers, so it is not signed."
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
    return True, "Signed with the secret of your endpoint, and not changed on the way."


_ADVICE: Final = {
    "no signature fits": "The body was changed after it was signed, or it was signed with another secret.",
    "the timestamp is too old": "It was signed more than five minutes ago, so it may be a replay.",
}


def _kept(headers: Sequence[tuple[str, str]], senders: Sequence[Endpoint]) -> list[tuple[str, str]]:
    """Headers as they are shown: not too many, not too long, and no credentials.

    What endpoints add themselves may be such.
    """
    hidden = _CREDENTIALS.union(name.lower() for endpoint in senders for name in endpoint.headers)
    return [
        (plain(name, 100), MASK if name.lower() in hidden else plain(value, KEPT_VALUE))
        for name, value in headers[:KEPT_HEADERS]
    ]
