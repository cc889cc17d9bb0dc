"""Receives deliveries that other processes accepted for lanes of this one."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Final, cast

import structlog

from angarium.dispatch.peer.frame import (
    INSTANCE_BYTES,
    LENGTH_BYTES,
    MAGIC,
    MAX_FRAME,
    RANDOM_BYTES,
    Cipher,
    FrameError,
    HandOver,
    decode,
)

log = structlog.get_logger(__name__)

GREETED_WITHIN: Final = 5.0  # seconds until the first frame of a connection must have arrived
MAX_CONNECTIONS: Final = 1024
PORTS: Final = 256  # how many ports are tried, starting with the one that is configured
BACKLOG: Final = 256


class Listener:
    """Listens at a Unix socket in the abstract namespace of this host (Linux only), and at a TCP address if
    one is configured."""

    def __init__(
        self,
        instance: bytes,
        key: bytes,
        entropy: Callable[[int], bytes],
        receive: Callable[[HandOver], None],
        tcp: tuple[str, int] | None = None,
    ) -> None:
        """`receive` gets what other processes hand over. `tcp`: host and port; with a port other than 0 the
        next ones are tried if it is taken."""
        assert len(instance) == INSTANCE_BYTES
        self.instance = instance
        self.key = key
        self.addresses: list[str] = []
        self.connections: set[Incoming] = set()
        self._entropy = entropy
        self.receive = receive
        self._tcp = tcp
        self._servers: list[asyncio.AbstractServer] = []

    async def start(self) -> None:
        """Listen where possible. A failure is logged: then other processes send hints instead."""
        loop = asyncio.get_running_loop()
        if sys.platform == "linux":
            path = f"\0angarium-{self.instance.hex()}"
            with self._failing("unix"):
                listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                listener.bind(path)
                self._servers.append(await loop.create_unix_server(self._incoming, sock=listener))
                self.addresses.append(f"unix:{path[1:]}")
        if self._tcp is not None:
            with self._failing("tcp"):
                listener = bound(*self._tcp)
                self._servers.append(await loop.create_server(self._incoming, sock=listener))
                host, port = listener.getsockname()[:2]
                self.addresses.append(f"tcp:[{host}]:{port}" if ":" in host else f"tcp:{host}:{port}")

    @contextlib.contextmanager
    def _failing(self, kind: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            log.warning("peer.listen_failed", kind=kind, error=str(error))

    async def stop(self) -> None:
        """Close everything. What was not received stays in the database."""
        for server in self._servers:
            server.close()
        for connection in list(self.connections):
            connection.close()

    def random(self) -> bytes:
        return self._entropy(RANDOM_BYTES)

    def _incoming(self) -> Incoming:
        return Incoming(self)


def bound(host: str, port: int) -> socket.socket:
    """A socket that is bound to the address, or to one of the next ports if that one is taken. Raises
    OSError."""
    last = min(port + PORTS - 1, 65535) if port else 0
    for number in range(port, last + 1):
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, number))
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            if number == last:
                raise
        else:
            return listener
    raise AssertionError


class Incoming(asyncio.Protocol):
    """One connection from another process."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._buffer = bytearray()
        self._random = listener.random()
        self._cipher: Cipher | None = None
        self._proven = False
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if len(self._listener.connections) >= MAX_CONNECTIONS:
            self._transport.abort()
            return
        self._listener.connections.add(self)
        self._deadline = asyncio.get_running_loop().call_later(GREETED_WITHIN, self.close)
        self._transport.write(MAGIC + self._listener.instance + self._random)

    def connection_lost(self, _: Exception | None) -> None:
        self._listener.connections.discard(self)
        if self._deadline is not None:
            self._deadline.cancel()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        try:
            self._read()
        except FrameError as error:
            log.warning("peer.refused", error=str(error))
            self._buffer.clear()
            self.close()

    def _read(self) -> None:
        buffer = self._buffer
        if self._cipher is None:
            if len(buffer) < RANDOM_BYTES:
                return
            self._cipher = Cipher(self._listener.key, self._random, bytes(buffer[:RANDOM_BYTES]))
            del buffer[:RANDOM_BYTES]
        begin = 0
        while len(buffer) - begin >= LENGTH_BYTES:
            length = int.from_bytes(buffer[begin : begin + LENGTH_BYTES], "big")
            if length > MAX_FRAME:
                raise FrameError(f"a frame of {length} bytes; the limit is {MAX_FRAME}")
            end = begin + LENGTH_BYTES + length
            if len(buffer) < end:
                break
            self._frame(self._cipher.open(bytes(memoryview(buffer)[begin + LENGTH_BYTES : end])))
            begin = end
        del buffer[:begin]

    def _frame(self, contents: bytes) -> None:
        if not self._proven:  # the first frame is empty and only proves that the caller has the key
            if contents:
                raise FrameError("the first frame is not empty")
            self._proven = True
            assert self._deadline is not None
            self._deadline.cancel()
            return
        self._listener.receive(decode(contents))
