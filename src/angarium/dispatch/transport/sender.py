"""Sends an HTTP POST to an allowed address, with one deadline for all of it. Always returns an AttemptResult.

HTTP/1.1 only, without redirects, cookies, proxies, `.netrc` and decompression. On an open connection an
attempt needs no task: the response arrives in a callback.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final
from urllib.parse import quote, urlsplit

import msgspec

from angarium.core.address import AddressPolicy
from angarium.core.outcome import MASK, AttemptResult, explain_status, parse_retry_after
from angarium.core.url import split_credentials
from angarium.dispatch.transport.deadline import Deadlines
from angarium.dispatch.transport.dial import Origin
from angarium.dispatch.transport.exchange import HttpExchange, Unsendable
from angarium.dispatch.transport.failure import Failure, explain, explain_timeout
from angarium.dispatch.transport.pool import Pool
from angarium.dispatch.transport.resolver import NameServersDown, Resolver, SystemResolver

SHOWN_HEADERS: Final = 32
SHOWN_NAME: Final = 100
SHOWN_VALUE: Final = 256
_PORTS: Final = {"http": 80, "https": 443}
_ENCODED: Final = "".join(map(chr, range(0x21, 0x7F)))


class OutgoingRequest(msgspec.Struct, frozen=True, gc=False):
    """A request. `timeout` is the total in seconds: DNS, connection, TLS, request, response and body."""

    url: str
    headers: Sequence[tuple[str, str]]
    body: bytes
    timeout: float


class Sender:
    """Sends at most `connections` requests at a time. Keeps no state but connections and DNS results."""

    def __init__(
        self,
        *,
        policy: AddressPolicy,
        response_limit: int,
        connections: int,
        resolver: Resolver | None = None,
        ssl_context: ssl.SSLContext | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._policy = policy
        self._response_limit = response_limit
        self._connections = connections
        self._resolver = resolver
        self._ssl_context = ssl_context
        self._now = now
        self._pool: Pool | None = None
        self._deadlines: Deadlines[HttpExchange]
        self._closed = False

    @property
    def connections(self) -> tuple[int, int, int]:
        """Requests on a new connection, requests on a kept one, and the connections kept now."""
        pool = self._pool
        return (0, 0, 0) if pool is None else (pool.dialed, pool.reused, pool.idle)

    async def prepare(self) -> None:
        """Load the certificates of authorities now, in a thread: the first request would do it in the event
        loop, which takes about 30 ms."""
        if self._ssl_context is None:
            self._ssl_context = await asyncio.to_thread(ssl.create_default_context)

    async def send(self, request: OutgoingRequest) -> AttemptResult:
        """POST once. Every failure is a result. Raises only CancelledError."""
        answered: asyncio.Future[AttemptResult] = asyncio.get_running_loop().create_future()
        under_way = self.start(request, answered.set_result)
        try:
            return await answered
        except asyncio.CancelledError:
            self.drop(under_way)
            raise

    def start(self, request: OutgoingRequest, done: Callable[[AttemptResult], None]) -> HttpExchange | None:
        """The same with a callback, which is never called before this returns. None: there is nothing to
        drop."""
        loop = asyncio.get_running_loop()
        try:
            exchange = self._exchange(request)
            pool = self._open()
        except Exception as error:
            kind, words = explain(error)
            loop.call_soon(done, AttemptResult(0, kind, words, None, 0))
            return None
        exchange.done = lambda ended, error: done(self._result(ended, error))
        self._deadlines.add(exchange, request.timeout)
        try:
            pool.carry(exchange)
        except BaseException:
            self.drop(exchange)
            raise
        return exchange

    def drop(self, exchange: HttpExchange | None) -> None:
        """Abort an exchange from `start`. Its callback is not called."""
        if exchange is not None and self._pool is not None:
            self._deadlines.remove(exchange, exchange.timeout)
            self._pool.drop(exchange)

    async def close(self) -> None:
        """Close every connection. Requests in progress fail."""
        self._closed = True
        if self._pool is not None:
            await self._pool.close()
            self._deadlines.close()
        if self._resolver is not None:
            await self._resolver.close()

    def _open(self) -> Pool:
        # On first use, because it needs a running loop.
        if self._closed:
            raise RuntimeError("the sender is closed")
        if self._pool is None:
            self._resolver = self._resolver or SystemResolver()
            self._deadlines = Deadlines(self._expired)
            self._pool = Pool(
                policy=self._policy,
                names=self._resolver,
                context=self._ssl_context or ssl.create_default_context(),
                limit=self._connections,
                body_limit=self._response_limit,
                admitted=self._admitted,
            )
        return self._pool

    def _exchange(self, request: OutgoingRequest) -> HttpExchange:
        trusted = self._policy.trusts(request.url)
        try:
            origin, start, authorization = _target(request.url, trusted)
        except ValueError as error:
            raise Unsendable(str(error)) from None
        lines = [f"{name}: {value}\r\n" for name, value in request.headers]
        named = "".join(lines)
        if named.count("\n") != len(lines) or named.count("\r") != len(lines) or "\0" in named:
            raise Unsendable("a header holds a control character")
        if authorization is not None and not any(
            name.lower() == "authorization" for name, _ in request.headers
        ):
            named += f"authorization: {authorization}\r\n"
        try:
            head = f"{start}{named}content-length: {len(request.body)}\r\n\r\n".encode()
        except UnicodeEncodeError:
            raise Unsendable("a header holds a lone surrogate") from None
        exchange = HttpExchange(origin, head, request.body, request.timeout)
        exchange.started = time.perf_counter()
        return exchange

    def _admitted(self, exchange: HttpExchange) -> None:
        """The exchange waited for one of our connections. The receiver's time starts now."""
        self._deadlines.remove(exchange, exchange.timeout)
        self._deadlines.add(exchange, exchange.timeout)
        exchange.started = time.perf_counter()

    def _expired(self, exchange: HttpExchange) -> None:
        done = exchange.done
        if done is None or self._pool is None:
            return
        failure = TimeoutError()
        self._pool.drop(exchange)
        done(exchange, failure)

    def _result(self, exchange: HttpExchange, error: Exception | None) -> AttemptResult:
        """The result. Any error here becomes a result, too, so that the caller always gets one."""
        try:
            return self._answer(exchange, error)
        except Exception as bug:
            kind, words = explain(bug)
            return AttemptResult(0, kind, words, None, 0)

    def _answer(self, exchange: HttpExchange, error: Exception | None) -> AttemptResult:
        self._deadlines.remove(exchange, exchange.timeout)
        duration_ms = round((time.perf_counter() - exchange.started) * 1000)
        status = exchange.status
        if not status:
            kind, words = self._failure(exchange, error)
            return AttemptResult(0, kind, words, None, duration_ms)
        retry_after: float | None = None
        location: str | None = None
        control: str | None = None
        if not 200 <= status <= 299:
            said = {name.lower(): value.decode("utf-8", "replace") for name, value in exchange.fields[::-1]}
            if (value := said.get(b"retry-after")) is not None:
                retry_after = parse_retry_after(value, self._now())
            location = said.get(b"location")
            control = said.get(b"webhook-delivery", "").strip().lower() or None
        failed, said_so = explain_status(status, location)
        kept = exchange.body[: self._response_limit]
        return AttemptResult(
            status, failed, said_so, kept, duration_ms, retry_after, _shown(exchange.fields), control
        )

    def _failure(self, exchange: HttpExchange, error: Exception | None) -> Failure:
        if isinstance(error, TimeoutError):
            stage = exchange.how_far()
            if stage == "dns" and self._resolver is not None and self._resolver.silent(exchange.timeout):
                error = NameServersDown()
            else:
                return explain_timeout(stage, exchange.timeout)
        return explain(error or RuntimeError("an exchange ended without an answer"))


def _shown(raw: Sequence[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    """The response headers for the log: limited in number and length, cookies masked."""
    shown = []
    for name, value in raw[:SHOWN_HEADERS]:
        text = value[:SHOWN_VALUE].decode("utf-8", "replace")
        words = name[:SHOWN_NAME].decode("ascii", "replace")
        shown.append((words, MASK if words.lower() == "set-cookie" else text))
    return tuple(shown)


@lru_cache(maxsize=16_384)
def _target(url: str, trusted: bool) -> tuple[Origin, str, str | None]:
    """The origin, the first lines of the request, and the URL's login. Cached, so computed once for each
    endpoint. Stored URLs are already encoded."""
    bare, authorization = split_credentials(url)
    parts = urlsplit(bare)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise Unsendable("the URL is not an http or https URL")
    path = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe=_ENCODED)
    if parts.hostname.startswith("."):
        raise Unsendable("the URL's host begins with a dot")
    if not all("!" <= c <= "~" for c in parts.netloc):
        raise Unsendable("the URL's host is not encoded")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    default = _PORTS[parts.scheme]
    port = parts.port or default
    named = host if port == default else f"{host}:{port}"
    start = f"POST {path} HTTP/1.1\r\nhost: {named}\r\naccept: */*\r\naccept-encoding: identity\r\n"
    return Origin(host, port, parts.scheme == "https", trusted), start, authorization
