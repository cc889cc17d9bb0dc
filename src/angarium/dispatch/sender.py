"""One HTTP POST: to a judged address, with a deadline over everything, and an Answer whatever happens.

Redirects, cookies, proxies, `.netrc` and decompression are off. Once a status has arrived it decides: a
body that is slow, endless or broken is cut off, and what came of it is kept.
"""

from __future__ import annotations

import asyncio
import io
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import aiohttp
from aiohttp.helpers import TimerNoop
from multidict import CIMultiDict, istr
from yarl import URL

from angarium.core.address import AddressPolicy
from angarium.core.inbox import ANYWHERE
from angarium.core.outcome import MASK, Answer, explain_status, parse_retry_after
from angarium.core.url import split_credentials
from angarium.dispatch.connector import COURSE, Course, JudgedConnector
from angarium.dispatch.failure import Failure, explain, explain_timeout
from angarium.dispatch.resolver import Resolver, SystemResolver

MAX_LINE: Final = 8190
MAX_HEADER_COUNT: Final = 128
SHOWN_HEADERS: Final = 32
SHOWN_NAME: Final = 100
SHOWN_VALUE: Final = 256
LARGE_BODY: Final = 512 * 1024
_NO_LIMIT: Final = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)
_NO_TIMER: Final = TimerNoop()
_OURS: Final = frozenset(map(istr, ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")))


@dataclass(frozen=True, slots=True)
class Request:
    """What to send. `timeout` is the total in seconds: DNS, connection, TLS, request, answer and body."""

    url: str
    headers: list[tuple[str, str]]
    body: bytes
    timeout: float


class Sender:
    """Sends; remembers nothing but connections and names. At most `connections` requests at a time."""

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
        self._session: aiohttp.ClientSession | None = None
        # a pool apart: a connection that was not judged must never carry another request
        self._trusted: aiohttp.ClientSession | None = None
        self._closed = False

    async def send(self, request: Request) -> Answer:
        """POST once. Raises nothing but CancelledError; every failure is an Answer."""
        started = time.perf_counter()
        exchange = _Exchange()
        failure: Failure | None = None
        token = COURSE.set(exchange.course)
        try:
            async with asyncio.timeout(request.timeout) as deadline:
                await self._attempt(request, exchange)
        except Exception as exc:
            if deadline.expired() and isinstance(exc, TimeoutError):
                failure = explain_timeout(exchange.course.how_far(), request.timeout)
            else:
                failure = explain(exc)
        finally:
            COURSE.reset(token)
            response = exchange.response
            if response is not None and not response.closed:
                response.close()
        duration_ms = round((time.perf_counter() - started) * 1000)
        if response is None:
            code, words = failure or ("internal", "The sender ended without an answer.")
            return Answer(0, code, words, None, duration_ms)
        return self._answered(response, bytes(exchange.body), duration_ms)

    async def close(self) -> None:
        """Close every connection. Requests still under way fail."""
        self._closed = True
        for session in (self._session, self._trusted):
            if session is not None:
                await session.close()
        if self._resolver is not None:
            await self._resolver.close()

    async def _attempt(self, request: Request, exchange: _Exchange) -> None:
        course = exchange.course
        try:
            await self._post(request, exchange)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionError):
            # A receiver may close an idle connection just as we write to it; that is no failure of the
            # receiver, so such a request is made once more, on a new connection, as the same attempt. Only
            # when not a byte came back: the receiver may still have read the request (then it gets it twice,
            # which at-least-once allows), but it did not answer it.
            stale = course.reused and course.protocol is not None and course.protocol.received == 0
            if exchange.response is not None or not stale:
                raise
            exchange.course.fresh = True
            await self._post(request, exchange)

    async def _post(self, request: Request, exchange: _Exchange) -> None:
        session = self._session_for(request.url)
        url, authorization = _target(request.url)
        headers = CIMultiDict(request.headers)
        headers["accept"] = "*/*"
        headers["accept-encoding"] = "identity"
        if authorization is not None and "authorization" not in headers:
            headers["authorization"] = authorization
        # aiohttp wants a large body as a file, to write it piece by piece.
        data = request.body if len(request.body) <= LARGE_BODY else io.BytesIO(request.body)
        # ClientSession.post would do the same after a round of redirects, cookies, proxies, retries and
        # tracing, all of which are off: a quarter of the CPU of a request (measured).
        outgoing = aiohttp.ClientRequest(
            "POST",
            url,
            headers=headers,
            skip_auto_headers=_OURS,
            data=data,
            loop=asyncio.get_running_loop(),
            response_class=aiohttp.ClientResponse,
            session=session,
            timer=_NO_TIMER,
            traces=[],
        )
        connector = session.connector
        assert connector is not None
        connection = await connector.connect(outgoing, [], _NO_LIMIT)
        try:
            assert connection.protocol is not None
            connection.protocol.set_response_params(
                timer=_NO_TIMER,
                auto_decompress=False,
                max_line_size=MAX_LINE,
                max_field_size=MAX_LINE,
                max_headers=MAX_HEADER_COUNT,
            )
            response = await outgoing.send(connection)
            try:
                await response.start(connection)
            except BaseException:
                response.close()
                raise
        except BaseException:
            connection.close()
            raise
        exchange.response = response
        body, content, limit = exchange.body, response.content, self._response_limit
        while len(body) <= limit and not content.at_eof():
            # Into the exchange piece by piece: what came before a deadline or a reset is worth showing.
            body += await content.readany()

    def _answered(self, response: aiohttp.ClientResponse, body: bytes, duration_ms: int) -> Answer:
        status = response.status
        retry_after: float | None = None
        location: str | None = None
        control: str | None = None
        if not 200 <= status <= 299:
            if (value := response.headers.get("Retry-After")) is not None:
                retry_after = parse_retry_after(value, self._now())
            location = response.headers.get("Location")
            control = response.headers.get("webhook-delivery", "").strip().lower() or None
        code, words = explain_status(status, location)
        kept = body[: self._response_limit]
        headers = _shown(response.raw_headers)
        return Answer(status, code, words, kept, duration_ms, retry_after, headers, control)

    def _session_for(self, url: str) -> aiohttp.ClientSession:
        # Opened on first use, because aiohttp wants a running loop.
        if self._policy.trusts(url):
            self._trusted = self._trusted or self._open(ANYWHERE)
            return self._trusted
        self._session = self._session or self._open(self._policy)
        return self._session

    def _open(self, policy: AddressPolicy) -> aiohttp.ClientSession:
        if self._closed:
            raise RuntimeError("the sender is closed")
        if self._resolver is None:
            self._resolver = SystemResolver()
        connector = JudgedConnector(
            policy=policy,
            resolver=self._resolver,
            limit=self._connections,
            answer_limit=self._response_limit,
            ssl_context=self._ssl_context or ssl.create_default_context(),
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )


def _shown(raw: Sequence[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    """The answer's headers as the log keeps them: not too many, not too long, and no cookies."""
    shown = []
    for name, value in raw[:SHOWN_HEADERS]:
        text = value[:SHOWN_VALUE].decode("utf-8", "replace")
        words = name[:SHOWN_NAME].decode("ascii", "replace")
        shown.append((words, MASK if words.lower() == "set-cookie" else text))
    return tuple(shown)


class _Exchange:
    """What is known so far; kept apart from the exception that may end it."""

    __slots__ = ("body", "course", "response")

    def __init__(self) -> None:
        self.course = Course()
        self.response: aiohttp.ClientResponse | None = None
        self.body = bytearray()


@lru_cache(maxsize=8192)
def _target(url: str) -> tuple[URL, str | None]:
    """Parsed once for each endpoint, not for each request. Stored URLs are encoded already."""
    bare, authorization = split_credentials(url)
    target = URL(bare, encoded=True)
    if target.scheme not in ("http", "https") or not target.raw_host:
        raise ValueError("the URL is no http or https URL")
    return target, authorization
