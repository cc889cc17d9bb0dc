"""Validates a URL before it is saved in an endpoint.

A check validates the text and resolves the host, and sends nothing. A trial sends one request as the product
does, signed with the endpoint's keys, or with a generated secret that is never shown. Neither is recorded.
A signature does not reveal its key. Secret headers and the login of a URL are sent only to the endpoint's
host. Both are rate-limited per application, because they make this server do work at once.
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
from angarium.service.endpoint_field import HeaderChange, carried, check_headers, kept_login, made

TRIALS: Final = 10  # per minute and application, in each process
CHECKS: Final = 60
TESTS: Final = 60
MINUTE: Final = 60.0
PATIENCE: Final = 3.0  # timeout of DNS in seconds: a user is waiting
MAX_KNOWN: Final = 10_000


class CheckTransport(Protocol):
    """Network access for checks and trials. The implementation enforces the address rules."""

    async def trouble(self, host: str, timeout: float) -> tuple[str, str] | None:
        """Why no request can be sent to a host, as a code and text, or None."""

    async def post(
        self, url: str, headers: Sequence[tuple[str, str]], body: bytes, timeout: float
    ) -> AttemptResult:
        """POST once. Failures are returned as results."""


@dataclass(frozen=True, slots=True)
class UrlCheck:
    """`fault`: the URL is invalid. `warning`: it is valid, but currently cannot be reached.

    `known`: the host resolves to allowed addresses.
    """

    fault: str | None = None
    warning: str | None = None
    encrypted: bool = True
    known: bool = False


@dataclass(frozen=True, slots=True)
class Trial:
    """One request that was sent. `known`: it was signed with keys that the receiver may have."""

    event_type: str
    answer: AttemptResult
    known: bool

    @property
    def delivered(self) -> bool:
        return self.answer.delivered

    @property
    def refused_signature(self) -> bool:
        """Whether the receiver correctly refused a signature that it cannot verify yet."""
        return not self.known and self.answer.status_code == 401


class CheckRate:
    """A rate limit: `limit` times per `seconds` for each key."""

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit = limit
        self._seconds = seconds
        self._times: dict[UUID, deque[float]] = {}

    def take(self, key: UUID, now: float) -> float:
        """0 if allowed now; otherwise the seconds to wait."""
        times = self._times.pop(key, None) or deque()
        while times and times[0] <= now - self._seconds:
            times.popleft()
        wait = times[0] + self._seconds - now if len(times) >= self._limit else 0.0
        if not wait:
            times.append(now)
        while len(self._times) >= MAX_KNOWN:
            self._times.pop(next(iter(self._times)))  # least recently used
        self._times[key] = times
        return wait


class UrlChecker:
    """Checks URLs and sends trial requests."""

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
        """Check the text of the URL, and resolve its host unless the rate limit is reached."""
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
        """Send one request. `headers` maps the endpoint's headers allowed for the URL to those to send.

        Raises Invalid for the URL or the headers, or BadRequest when the rate limit is reached or the body is
        too large.
        """
        try:
            url = self._checked(url)
            shown_url, login = kept_login(url, endpoint)
        except ValueError as error:
            raise Invalid.field("url", str(error)) from error
        custom = headers({} if endpoint is None else carried(endpoint.headers, endpoint.url, shown_url))
        check_headers(custom)
        now = self._clock.now()
        self._admit(self._trials, app_id, TRIALS, "too_many_trials")
        message_id = ids.new(now, self._entropy(8))
        message_format = product.message_format
        body = message_format.body(message_id, event_type, now, payload)
        if len(body) > product.max_body:
            raise BadRequest(
                f"The example exceeds the limit of {product.max_body:,} bytes.", code="payload_too_large"
            )
        sent = message_format.headers(
            message_id=message_id,
            event_type=event_type,
            body=body,
            keys=message_format.keys((made(self._entropy),) if endpoint is None else endpoint.keys),
            custom=custom,
            now=now,
        )
        answer = await self._transport.post(with_login(shown_url, login), sent, body, product.timeout)
        return Trial(event_type, answer, known=endpoint is not None)

    def admit_test(self, app_id: UUID) -> None:
        """Raises BadRequest when the limit of test messages is reached."""
        self._admit(self._tests, app_id, TESTS, "too_many_tests")

    def _admit(self, rate: CheckRate, app_id: UUID, most: int, code: str) -> None:
        if wait := rate.take(app_id, self._clock.steady()):
            raise BadRequest(code=code, most=most, seconds=int(wait) + 1)

    def _checked(self, url: str) -> str:
        return check_url(url, https_only=self._https_only, policy=self._policy)


def _host(url: str) -> str:
    """The host of a checked URL; an IPv6 address keeps its brackets."""
    place = urlsplit(url).netloc.rpartition("@")[2]
    return place.partition("]")[0] + "]" if place.startswith("[") else place.partition(":")[0]
