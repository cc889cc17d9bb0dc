"""Probe: what a URL is worth, asked before an endpoint has it.

A check looks at the text and at DNS and sends nothing. A trial is one request as the product makes it, signed
with the endpoint's keys, or with a secret made for it and shown to no one. Nothing of either is recorded.
A signature does not reveal its key. Secret headers and the login of a URL go to the endpoint's host only.
Both are limited for each application, because they make this server do something at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import urlsplit
from uuid import UUID

from angarium.clock import Clock
from angarium.core import ids
from angarium.core.address import AddressPolicy
from angarium.core.errors import BadRequest, Invalid
from angarium.core.nouns import Endpoint
from angarium.core.outcome import AttemptResult
from angarium.core.product import Product
from angarium.core.url import check_url, with_login
from angarium.service import endpoint_secret
from angarium.service.endpoint_header import HeaderChange, carried, check_headers
from angarium.service.endpoint_login import kept_login

TRIALS: Final = 10  # a minute and application, in each process
CHECKS: Final = 60
TESTS: Final = 60
MINUTE: Final = 60.0
PATIENCE: Final = 3.0  # seconds for DNS, while somebody types
MAX_KNOWN: Final = 10_000


class CheckTransport(Protocol):
    """What a probe needs of the network; the rules for addresses are on its side."""

    async def trouble(self, host: str, timeout: float) -> tuple[str, str] | None:
        """Why nothing could be sent to a host, as a code and words; None when something could."""

    async def post(
        self, url: str, headers: Sequence[tuple[str, str]], body: bytes, timeout: float
    ) -> AttemptResult:
        """POST once; every failure is a result."""


@dataclass(frozen=True, slots=True)
class UrlCheck:
    """`fault`: it cannot be an endpoint's. `warning`: it can, but as things are nothing would arrive.

    `known`: DNS was asked, and leads to where requests may go.
    """

    fault: str | None = None
    warning: str | None = None
    encrypted: bool = True
    known: bool = False


@dataclass(frozen=True, slots=True)
class Trial:
    """One request that was made. `known`: it was signed with keys that the receiver can have."""

    event_type: str
    answer: AttemptResult
    known: bool

    @property
    def delivered(self) -> bool:
        return self.answer.delivered

    @property
    def refused_signature(self) -> bool:
        """Whether the receiver did what it must with a signature that it cannot verify yet."""
        return not self.known and self.answer.status_code == 401


class CheckRate:
    """At most `limit` times in `seconds` for each key."""

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit = limit
        self._seconds = seconds
        self._times: dict[UUID, deque[float]] = {}

    def take(self, key: UUID, now: float) -> float:
        """0 when it may be done now; otherwise the seconds to wait."""
        times = self._times.pop(key, None) or deque()
        while times and times[0] <= now - self._seconds:
            times.popleft()
        wait = times[0] + self._seconds - now if len(times) >= self._limit else 0.0
        if not wait:
            times.append(now)
        while len(self._times) >= MAX_KNOWN:
            self._times.pop(next(iter(self._times)))  # the one that was used longest ago
        self._times[key] = times
        return wait


class UrlChecker:
    """Checks and trials."""

    def __init__(
        self,
        clock: Clock,
        entropy: Callable[[int], bytes],
        transport: CheckTransport,
        *,
        policy: AddressPolicy,
        https_only: bool,
    ) -> None:
        self._clock = clock
        self._entropy = entropy
        self._transport = transport
        self._policy = policy
        self._https_only = https_only
        self._trials = CheckRate(TRIALS, MINUTE)
        self._checks = CheckRate(CHECKS, MINUTE)
        self._tests = CheckRate(TESTS, MINUTE)

    async def check(self, app_id: UUID, url: str) -> UrlCheck:
        """What the text says, and unless many were asked for lately, what DNS says."""
        try:
            url = self._checked(url)
        except ValueError as error:
            return UrlCheck(fault=str(error))
        if self._policy.trusts(url):
            return UrlCheck()
        parts = urlsplit(url)
        encrypted = parts.scheme == "https"
        if self._checks.take(app_id, self._clock.steady()) > 0:
            return UrlCheck(encrypted=encrypted)
        trouble = await self._transport.trouble(_host(url), PATIENCE)
        if trouble is not None:
            return UrlCheck(warning=trouble[1], encrypted=encrypted)
        return UrlCheck(encrypted=encrypted, known=True)

    async def attempt(
        self,
        product: Product,
        app_id: UUID,
        url: str,
        event_type: str,
        payload: bytes,
        endpoint: Endpoint | None = None,
        headers: HeaderChange = dict,
    ) -> Trial:
        """Make one request. `headers` gets the endpoint's that the URL may get, and gives what to send.

        Raises Invalid for the URL or the headers, or BadRequest when it is too soon or too large.
        """
        try:
            url = self._checked(url)
            shown_url, login = kept_login(url, endpoint)
        except ValueError as error:
            raise Invalid.field("url", str(error)) from error
        custom = headers({} if endpoint is None else carried(endpoint.headers, endpoint.url, shown_url))
        check_headers(custom)
        now = self._clock.now()
        wait = self._trials.take(app_id, self._clock.steady())
        if wait:
            raise BadRequest(
                f"At most {TRIALS} requests a minute can be tried. Try again in {int(wait) + 1} seconds.",
                code="too_many_trials",
            )
        message_id = ids.new(now, self._entropy(8))
        message_format = product.message_format
        body = message_format.body(message_id, event_type, now, payload)
        if len(body) > product.max_body:
            raise BadRequest(
                f"The example is larger than {product.max_body:,} bytes.", code="payload_too_large"
            )
        sent = message_format.headers(
            message_id=message_id,
            event_type=event_type,
            body=body,
            keys=message_format.keys(
                (endpoint_secret.made(self._entropy),) if endpoint is None else endpoint.keys
            ),
            custom=custom,
            now=now,
        )
        answer = await self._transport.post(with_login(shown_url, login), sent, body, product.timeout)
        return Trial(event_type, answer, known=endpoint is not None)

    def admit_test(self, app_id: UUID) -> None:
        """Raises BadRequest when many test messages were sent lately."""
        wait = self._tests.take(app_id, self._clock.steady())
        if wait:
            raise BadRequest(
                f"At most {TESTS} tests a minute. Try again in {int(wait) + 1} seconds.",
                code="too_many_tests",
            )

    def _checked(self, url: str) -> str:
        return check_url(url, https_only=self._https_only, policy=self._policy)


def _host(url: str) -> str:
    """The host of a URL that was checked; an IPv6 address keeps its brackets."""
    place = urlsplit(url).netloc.rpartition("@")[2]
    return place.partition("]")[0] + "]" if place.startswith("[") else place.partition(":")[0]
