"""Connections for the sender: only to judged addresses, counted, bounded in bytes, reused while alive.

aiohttp's connector with four rules added. Every address is judged after DNS and once more when its socket
is made, so nothing can come in between (literal addresses would skip a resolver). An answer is cut off
after a number of bytes, whatever they are (endless headers, a storm of 1xx, chunk extensions). A
connection that speaks out of turn is closed, so no answer can be taken for the next one. Idle
connections are bounded in number.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextvars import ContextVar
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from aiohttp.client_proto import ResponseHandler

from angarium.core.address import AddressPolicy
from angarium.core.url import literal_address
from angarium.dispatch.resolver import NameFailure, Resolver

if TYPE_CHECKING:
    from aiohttp.abc import ResolveResult
    from aiohttp.client_reqrep import ClientRequest, ConnectionKey
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

HEADROOM: Final = 512 * 1024
"""Bytes beyond the captured body that an answer may use for headers, 1xx answers and chunk framing."""

KEEP_ALIVE_SECONDS: Final = 15.0


class AddressRefused(Exception):
    """The address must not be connected to; the message says why, in words."""


class AnswerTooLarge(Exception):
    """The receiver sent more than is read."""


async def allowed_addresses(host: str, names: Resolver, policy: AddressPolicy) -> list[str]:
    """The addresses of a host that may be connected to. Raises NameFailure, or AddressRefused if there are
    others only."""
    try:
        literal = literal_address(host)
    except ValueError as exc:
        raise NameFailure(f"{host} is no address: {exc}.") from None
    found = [str(literal)] if literal is not None else await names.addresses(host)
    allowed: list[str] = []
    refusal: str | None = None
    for address in found:
        words = policy.refusal(ip_address(address))
        if words is None:
            allowed.append(address)
        else:
            refusal = refusal or (
                words if literal is not None else f"The host {host} leads to {address}. {words}"
            )
    if not allowed:
        if refusal is None:
            raise NameFailure(f"The host name {host} has no address in DNS. Check the domain's records.")
        raise AddressRefused(refusal)
    return allowed


@dataclass(slots=True)
class Course:
    """How far one request got; `send` reads it to say what went wrong."""

    stage: str = "queue"  # then: dns, connect, tls, answer
    protocol: JudgedProtocol | None = None
    reused: bool = False
    fresh: bool = False  # take no connection from the pool

    def how_far(self) -> str:
        """The stage; `head` when the answer has begun."""
        begun = self.stage == "answer" and self.protocol is not None and self.protocol.received > 0
        return "head" if begun else self.stage


COURSE: ContextVar[Course] = ContextVar("course")


class JudgedProtocol(ResponseHandler):
    """One connection: counts the bytes of the current answer, and closes when it has no right to speak."""

    def __init__(self, loop: asyncio.AbstractEventLoop, connector: JudgedConnector, limit: int) -> None:
        super().__init__(loop)
        self._connector = connector
        self._limit = limit
        self.used = 0
        self.received = 0
        self.idle = False

    def set_response_params(self, **params: Any) -> None:
        self.received = 0
        self.used += 1
        self.wake()
        super().set_response_params(**params)

    def rest(self) -> None:
        """The connection went back to the pool."""
        if not self.idle:
            self.idle = True
            self._connector.idle += 1

    def wake(self) -> None:
        if self.idle:
            self.idle = False
            self._connector.idle -= 1

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        if not data:
            # aiohttp's own call, to go on with what it holds already.
            super().data_received(data)
        elif self.idle:
            self.abort()
        elif self.received > self._limit:
            error = AnswerTooLarge()
            if self._payload is not None:
                self._payload.set_exception(error)
            transport = self.transport
            self.set_exception(error)
            if transport is not None:
                transport.abort()
        else:
            if self.received == len(data) and data[9:12] == b"204":
                data = self._without_body(data)
            super().data_received(data)

    def _without_body(self, data: bytes) -> bytes:
        """Some frameworks send a body with 204, which has none: the parser would take it for another answer
        and refuse both. It is dropped, and the connection with it."""
        end = data.find(b"\r\n\r\n") + 4
        if 4 <= end < len(data):
            self._should_close = True
            return data[:end]
        return data

    def connection_lost(self, exc: BaseException | None) -> None:
        self.wake()
        super().connection_lost(exc)


class JudgedConnector(aiohttp.TCPConnector):
    """`limit` bounds connections in use, and as many again may be idle."""

    def __init__(
        self,
        *,
        policy: AddressPolicy,
        resolver: Resolver,
        limit: int,
        answer_limit: int,
        ssl_context: ssl.SSLContext,
    ) -> None:
        super().__init__(
            ssl=ssl_context,
            limit=limit,
            use_dns_cache=False,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            socket_factory=self._make_socket,
        )
        self._policy = policy
        self._names = resolver
        self._most_idle = limit
        self.idle = 0
        self._answer_limit = answer_limit
        self._factory = self._make_protocol  # type: ignore[assignment]

    async def connect(
        self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        course = COURSE.get()
        if course.fresh:
            for idle, _ in self._conns.pop(req.connection_key, ()):
                idle.close()
        connection = await super().connect(req, traces, timeout)
        protocol = connection.protocol
        assert isinstance(protocol, JudgedProtocol)
        course.protocol = protocol
        course.reused = protocol.used > 0
        course.stage = "answer"
        return connection

    def _release(self, key: ConnectionKey, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        should_close = should_close or self.idle >= self._most_idle
        super()._release(key, protocol, should_close=should_close)
        if isinstance(protocol, JudgedProtocol) and not should_close and protocol.is_connected():
            protocol.rest()

    async def _resolve_host(self, host: str, port: int, traces: Any = None) -> list[ResolveResult]:
        course = COURSE.get()
        course.stage = "dns"
        allowed: list[ResolveResult] = [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": socket.AF_INET if ip_address(address).version == 4 else socket.AF_INET6,
                "proto": socket.IPPROTO_TCP,
                "flags": socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            }
            for address in await allowed_addresses(host, self._names, self._policy)
        ]
        course.stage = "connect"
        return allowed

    def _make_protocol(self) -> JudgedProtocol:
        # called between the connection and the handshake of TLS, if there is one
        COURSE.get().stage = "tls"
        return JudgedProtocol(self._loop, self, self._answer_limit + HEADROOM)

    def _make_socket(self, info: Any) -> socket.socket:
        """The last fence: the very address that is connected to."""
        COURSE.get().stage = "connect"
        family, kind, proto, _, address = info
        refusal = self._policy.refusal(ip_address(address[0]))
        if refusal is not None:
            raise AddressRefused(refusal)
        made = socket.socket(family, kind, proto)
        made.setblocking(False)
        return made
