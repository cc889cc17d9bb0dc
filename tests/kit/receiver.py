"""A real HTTP receiver on loopback that remembers what it got and misbehaves on request.

    async with Receiver() as receiver:
        receiver.plan(Reply(500), Reply(200))       # for the next requests; afterwards `receiver.default`
        ...send something to receiver.url...
        first, second = await receiver.wait_for(2)

`Receiver(tls=authority.good())` speaks TLS; see `tests/kit/authority.py`. A `plan` entry or the default
is a Reply or one of the misbehaviours below, or a function from the request to one of them.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self, cast

from tests.kit.patience import PATIENCE


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came over the wire."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes
    time: float  # epoch seconds at which it was complete
    connection: int  # the how-manieth connection it came over, from 1

    def header(self, name: str) -> str | None:
        """The first value of a header, whatever its case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


class Wire:
    """The connection, as a behaviour sees it."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    def write(self, data: bytes) -> None:
        self._connection.write(data)

    async def drain(self) -> None:
        """Until what was written has gone out, or the peer is gone."""
        await self._connection.drained.wait()

    @property
    def lost(self) -> bool:
        return self._connection.lost.is_set()

    async def until_lost(self) -> None:
        await self._connection.lost.wait()

    async def pause(self, seconds: float) -> None:
        """Wait, but not for longer than the peer stays."""
        try:
            async with asyncio.timeout(seconds):
                await self._connection.lost.wait()
        except TimeoutError:
            return

    def close(self) -> None:
        """A clean end (FIN) after what was written."""
        self._connection.close()

    def reset(self) -> None:
        """A hard end (RST)."""
        self._connection.reset()


class Behaviour(Protocol):
    async def play(self, wire: Wire) -> None:
        """Answer one request, or do not."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A proper answer, perhaps late, perhaps the last one on its connection."""

    status: int = 200
    body: bytes = b"ok"
    headers: Sequence[tuple[str, str]] = ()
    delay: float = 0.0
    close: bool = False

    def wire_form(self) -> bytes:
        lines = [f"HTTP/1.1 {self.status} Status", f"content-length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self.close:
            lines.append("connection: close")
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body

    async def play(self, wire: Wire) -> None:
        if self.delay:
            await wire.pause(self.delay)
        wire.write(self.wire_form())
        if self.close:
            wire.close()


@dataclass(frozen=True, slots=True)
class Raw:
    """Exactly these bytes (invalid HTTP, non-ASCII headers, …), then perhaps the end."""

    data: bytes
    close: bool = True

    async def play(self, wire: Wire) -> None:
        wire.write(self.data)
        if self.close:
            wire.close()


@dataclass(frozen=True, slots=True)
class Silence:
    """Never an answer; the connection stays open."""

    async def play(self, wire: Wire) -> None:
        await wire.until_lost()


@dataclass(frozen=True, slots=True)
class Held:
    """The answer waits until the test lets it go."""

    reply: Reply = field(default_factory=Reply)
    release: asyncio.Event = field(default_factory=asyncio.Event)

    async def play(self, wire: Wire) -> None:
        await self.release.wait()
        await self.reply.play(wire)


@dataclass(frozen=True, slots=True)
class Drip:
    """A head at once, then one byte after another, without end."""

    status: int = 200
    interval: float = 1.0
    head: bool = True  # False: the head itself drips

    async def play(self, wire: Wire) -> None:
        head = f"HTTP/1.1 {self.status} Status\r\ncontent-length: 1000000\r\n".encode()
        if self.head:
            wire.write(head + b"\r\n")
            head = b""
        place = 0
        while not wire.lost:
            wire.write(head[place : place + 1] or b".")
            place += 1
            await wire.pause(self.interval)


@dataclass(frozen=True, slots=True)
class Endless:
    """`start` once, then `piece` again and again as fast as the peer reads."""

    start: bytes
    piece: bytes

    async def play(self, wire: Wire) -> None:
        wire.write(self.start)
        block = self.piece * max(1, 16384 // len(self.piece))
        while not wire.lost:
            wire.write(block)
            await wire.drain()
            await asyncio.sleep(0)


def endless_headers() -> Endless:
    return Endless(b"HTTP/1.1 200 OK\r\n", b"x-more: and more\r\n")


def endless_header_line() -> Endless:
    return Endless(b"HTTP/1.1 200 OK\r\nx-more: ", b"a")


def endless_body(status: int = 200) -> Endless:
    return Endless(f"HTTP/1.1 {status} Status\r\ncontent-length: 1000000000000\r\n\r\n".encode(), b"a")


def endless_chunk_extension() -> Endless:
    return Endless(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;", b"a")


def storm_of_1xx(status: int = 103) -> Endless:
    return Endless(b"", f"HTTP/1.1 {status} Early\r\nlink: </a>\r\n\r\n".encode())


@dataclass(frozen=True, slots=True)
class Reset:
    """RST, after `after` bytes of an answer (0: before any)."""

    after: bytes = b""

    async def play(self, wire: Wire) -> None:
        if self.after:
            wire.write(self.after)
            # Let the bytes leave before the reset overtakes them.
            await wire.drain()
            await wire.pause(0.05)
        wire.reset()


@dataclass(frozen=True, slots=True)
class Hangup:
    """FIN without an answer."""

    async def play(self, wire: Wire) -> None:
        wire.close()


@dataclass(frozen=True, slots=True)
class AnswerThenHangup:
    """A good keep-alive answer, and the connection ends right behind it without having said so."""

    async def play(self, wire: Wire) -> None:
        wire.write(Reply().wire_form())
        wire.close()


def redirect(location: str, status: int = 302) -> Reply:
    return Reply(status, b"", [("location", location)])


Answering = Behaviour | Callable[[Received], Behaviour]


@dataclass
class Connections:
    """Counts of connections."""

    open: int = 0
    most: int = 0
    total: int = 0


@dataclass
class Receiver:
    """See the module."""

    default: Answering = field(default_factory=Reply)
    tls: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    keep: bool = True  # False: count requests without keeping them, for load
    port: int = 0
    requests: list[Received] = field(default_factory=list)
    count: int = 0
    connections: Connections = field(default_factory=Connections)
    path: str = "/hook"

    def __post_init__(self) -> None:
        self._plan: deque[Answering] = deque()
        self._server: asyncio.Server | None = None
        self._alive: set[_Connection] = set()
        self._plays: set[asyncio.Task[None]] = set()
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    @property
    def url(self) -> str:
        scheme = "http" if self.tls is None else "https"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}{self.path}"

    def plan(self, *behaviours: Answering) -> None:
        """What the next requests get, in their order."""
        self._plan.extend(behaviours)

    async def wait_for(self, count: int, timeout: float = PATIENCE) -> list[Received]:
        """All requests so far, once there are `count`; TimeoutError if they do not come."""
        if self.count < count:
            arrived: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((count, arrived))
            try:
                async with asyncio.timeout(timeout):
                    await arrived
            except TimeoutError:
                raise TimeoutError(f"{self.count} of {count} requests came within {timeout:g} s") from None
        return self.requests

    async def start(self) -> None:
        """Listen again on the same port after `stop`."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self), self.host, self.port, ssl=self.tls, backlog=1024
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and end every connection."""
        if self._server is not None:
            self._server.close()
        alive = list(self._alive)
        for connection in alive:
            connection.reset()
        for task in list(self._plays):
            task.cancel()
        await asyncio.gather(*self._plays, *(c.lost.wait() for c in alive), return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()
        self._server = None

    def drop_idle(self) -> None:
        """Close every connection that is open now, as a restarting server does."""
        for connection in list(self._alive):
            connection.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _arrived(self, connection: _Connection, request: Received) -> None:
        self.count += 1
        if self.keep:
            self.requests.append(request)
        for entry in [entry for entry in self._waiting if entry[0] <= self.count]:
            self._waiting.remove(entry)
            if not entry[1].done():
                entry[1].set_result(None)
        answering = self._plan.popleft() if self._plan else self.default
        behaviour = answering(request) if not hasattr(answering, "play") else answering
        if isinstance(behaviour, Reply) and not behaviour.delay:
            # The fast path: no task for an ordinary answer.
            connection.write(behaviour.wire_form())
            if behaviour.close:
                connection.close()
            else:
                connection.ready()
            return
        task = asyncio.get_running_loop().create_task(self._play(connection, behaviour))
        self._plays.add(task)
        task.add_done_callback(self._plays.discard)

    async def _play(self, connection: _Connection, behaviour: Behaviour) -> None:
        await behaviour.play(Wire(connection))
        connection.ready()


class _Connection(asyncio.Protocol):
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._buffer = b""
        self._busy = False
        self._transport: asyncio.Transport | None = None
        self.number = 0
        self.lost = asyncio.Event()
        self.drained = asyncio.Event()
        self.drained.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)
        counts = self._receiver.connections
        counts.open += 1
        counts.total += 1
        counts.most = max(counts.most, counts.open)
        self.number = counts.total
        self._receiver._alive.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._receiver.connections.open -= 1
        self._receiver._alive.discard(self)
        self._transport = None
        self.lost.set()
        self.drained.set()

    def pause_writing(self) -> None:
        self.drained.clear()

    def resume_writing(self) -> None:
        self.drained.set()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._busy:
            self._take()

    def ready(self) -> None:
        """The answer is out; the next request may be taken."""
        self._busy = False
        if self._buffer and self._transport is not None:
            self._take()

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        if self._transport is not None:
            raw = self._transport.get_extra_info("socket")
            if raw is not None:
                # Linger 0 makes the kernel send RST instead of FIN.
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self._transport.abort()

    def _take(self) -> None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ", 2)
        headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
        begin = end + 4
        if len(self._buffer) < begin + length:
            return
        body = self._buffer[begin : begin + length]
        self._buffer = self._buffer[begin + length :]
        self._busy = True
        request = Received(method, path, headers, body, time.time(), self.number)
        self._receiver._arrived(self, request)
