"""Sends deliveries to one other process over a connection that is kept open."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Final, cast

import structlog

from angarium.dispatch.peer.frame import GREETING, MAGIC, RANDOM_BYTES, Cipher

log = structlog.get_logger(__name__)

CONNECT_TIMEOUT: Final = 2.0  # seconds for each address, greeting included
PAUSES: Final = (1.0, 60.0)  # seconds between attempts to connect: at first, and the most
MAX_BUFFERED: Final = 4 * 1024 * 1024  # bytes not yet taken by the system; more goes by hint


class PeerLink:
    """A connection to one process. `lost` is called when an open one ends: frames may not have arrived."""

    def __init__(
        self,
        instance: bytes,
        addresses: Sequence[str],
        key: bytes,
        entropy: Callable[[int], bytes],
        lost: Callable[[], None],
    ) -> None:
        self._instance = instance
        self._addresses = addresses
        self._key = key
        self._entropy = entropy
        self._lost = lost
        self._outgoing: OutgoingConnection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._again_at = 0.0  # not before this time of the loop
        self._pause = PAUSES[0]

    @property
    def ready(self) -> bool:
        """Whether a frame can be sent now."""
        return self._outgoing is not None and self._outgoing.room

    def connect(self) -> None:
        """Begin to connect, unless connected or connecting, or an attempt failed a short time ago."""
        if (
            self._outgoing is None
            and self._connecting is None
            and asyncio.get_running_loop().time() >= self._again_at
        ):
            self._connecting = asyncio.create_task(self._connect(), name="connect to peer")

    def send(self, contents: bytes) -> None:
        """Send one frame. The link must be ready."""
        assert self._outgoing is not None
        self._outgoing.send(contents)

    def close(self) -> None:
        """End the connection without a call of `lost`."""
        self._lost = _nothing
        if self._connecting is not None:
            self._connecting.cancel()
        if self._outgoing is not None:
            self._outgoing.close()

    async def _connect(self) -> None:
        try:
            for address in self._addresses:
                try:
                    async with asyncio.timeout(CONNECT_TIMEOUT):
                        self._outgoing = await self._open(address)
                except (OSError, TimeoutError, ValueError) as error:
                    # usual for the Unix socket of another host
                    log.debug("peer.unreachable", address=address, error=str(error))
                else:
                    log.info("peer.connected", address=address)
                    self._pause = PAUSES[0]
                    return
            self._again_at = asyncio.get_running_loop().time() + self._pause
            self._pause = min(2 * self._pause, PAUSES[1])
        finally:
            self._connecting = None

    async def _open(self, address: str) -> OutgoingConnection:
        loop = asyncio.get_running_loop()
        outgoing = OutgoingConnection(self._instance, self._key, self._entropy(RANDOM_BYTES), self._on_lost)
        kind, _, place = address.partition(":")
        try:
            if kind == "unix":
                # uvloop cannot connect to an abstract name by itself
                unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                unix.setblocking(False)
                try:
                    unix.connect(f"\0{place}")
                    await loop.create_unix_connection(lambda: outgoing, sock=unix)
                except BaseException:
                    unix.close()
                    raise
            elif kind == "tcp":
                host, _, port = place.rpartition(":")
                await loop.create_connection(lambda: outgoing, host.strip("[]"), int(port))
            else:
                raise ValueError("an unknown kind of address")
            await outgoing.greeted
        except BaseException:
            outgoing.close()
            raise
        return outgoing

    def _on_lost(self, outgoing: OutgoingConnection) -> None:
        if outgoing is self._outgoing:
            self._outgoing = None
            self._lost()


def _nothing() -> None:
    pass


class OutgoingConnection(asyncio.Protocol):
    """The caller's side of one connection."""

    def __init__(
        self, instance: bytes, key: bytes, random: bytes, lost: Callable[[OutgoingConnection], None]
    ) -> None:
        self.greeted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._instance = instance
        self._key = key
        self._random = random
        self._lost = lost
        self._buffer = b""
        self._cipher: Cipher | None = None
        self._transport: asyncio.Transport | None = None

    @property
    def room(self) -> bool:
        """Whether not too much waits to be sent."""
        return self._transport is not None and self._transport.get_write_buffer_size() < MAX_BUFFERED

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._buffer += data
        if self._cipher is not None or len(self._buffer) > GREETING:
            self.close()  # a listener sends nothing but its greeting
            return
        if len(self._buffer) < GREETING:
            return
        instance, random = self._buffer[len(MAGIC) : -RANDOM_BYTES], self._buffer[-RANDOM_BYTES:]
        if not self._buffer.startswith(MAGIC) or instance != self._instance:
            self._fail("another process listens there")
            return
        self._cipher = Cipher(self._key, random, self._random)
        self._transport.write(self._random + self._cipher.seal(b""))
        if not self.greeted.done():
            self.greeted.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._fail(str(error) if error else "the connection was closed")
        self._lost(self)

    def send(self, contents: bytes) -> None:
        assert self._transport is not None
        assert self._cipher is not None
        self._transport.write(self._cipher.seal(contents))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, reason: str) -> None:
        self.close()
        if not self.greeted.done():
            self.greeted.set_exception(ConnectionError(reason))
            self.greeted.exception()  # the waiting task may have ended
