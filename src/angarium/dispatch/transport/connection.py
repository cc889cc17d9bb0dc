"""HTTP/1.1 connection that carries one exchange at a time.

The parser is llhttp (httptools). Added to it:
- A response is cut off after a number of bytes of any kind (endless headers, many 1xx responses, chunk
  extensions). Of too many headers the first are kept, of a header that is too long the beginning.
- A head that llhttp refuses is read leniently (head.py), and the connection is not used again.
- Once a status has arrived, it decides. Of a body that is slow, endless or broken, the beginning is kept.
- The response may arrive before the request is written. It is read even if the connection breaks then.
- A connection that sends data without a request is closed, so that a response is never matched to the wrong
  request.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Final, cast

import httptools

from angarium.clock import steady
from angarium.dispatch.transport.dial import Origin
from angarium.dispatch.transport.exchange import AnswerTooLarge, HttpExchange, HungUp, NotHttp
from angarium.dispatch.transport.head import LenientHead

HEADROOM: Final = 512 * 1024
"""Bytes beyond the captured body that a response may use for headers, 1xx responses and chunk framing."""
MAX_FIELD: Final = 8190
MAX_FIELDS: Final = 128
LARGE_BODY: Final = 64 * 1024
"""Larger bodies are written in pieces of this size, so that an early response is read between them."""
_BODILESS: Final = (204, 304)
_STEERING: Final = (
    b"retry-after",
    b"location",
    b"webhook-delivery",
)  # kept even if there are too many headers


class HttpConnection(asyncio.Protocol):
    """Carries one exchange at a time. Calls `ended(connection, exchange, error, reusable)` when an exchange
    ends, and `lost(connection)` when an idle connection is lost. `sock` is the socket of the transport."""

    def __init__(
        self,
        origin: Origin,
        body_limit: int,
        ended: Callable[[HttpConnection, HttpExchange, Exception | None, bool], None],
        lost: Callable[[HttpConnection], None],
        sock: socket.socket | None = None,
    ) -> None:
        self.origin = origin
        self.used = 0  # exchanges carried
        self.received = 0  # bytes of the current one
        self.made_at = steady()
        self.idle_since = 0.0
        self._body_limit = body_limit
        self._ended = ended
        self._lost = lost
        self._socket = sock
        self._exchange: HttpExchange | None = None
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._complete = False
        self._beyond = False  # data followed the complete response
        self._keep = False  # the receiver leaves the connection open
        self._interim = False
        self._to_the_end = False  # the body ends with the connection
        self._field_count = 0
        self._head: bytes | bytearray = b""  # bytes received before the status
        self._lenient: LenientHead | None = None
        self._closing = False  # the response was not strictly valid HTTP
        self._unwritten: memoryview | None = None
        self._paused = False

    @property
    def alive(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def begin(self, exchange: HttpExchange) -> None:
        """Send the request. The connection must be idle."""
        self._exchange = exchange
        self._parser = httptools.HttpResponseParser(self)
        self.used += 1
        self.received = self._field_count = 0
        self._complete = self._keep = self._beyond = self._interim = self._to_the_end = False
        self._head = b""
        exchange.connection = self
        exchange.stage = "answer"
        if self._transport is None or self._transport.is_closing():
            asyncio.get_running_loop().call_soon(self._end, HungUp())
        elif len(exchange.content) < LARGE_BODY:
            self._transport.write(exchange.head + exchange.content)
        else:
            self._unwritten = memoryview(exchange.content)
            self._transport.write(exchange.head)
            asyncio.get_running_loop().call_soon(self._write_on, exchange)

    def close(self) -> None:
        """Close the connection and drop its exchange."""
        self._exchange = None
        if self._transport is not None:
            self._transport.abort()

    # callbacks of the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            self.close()
            return
        self.received += len(data)
        if self._lenient is not None:
            self._feed_lenient(self._lenient, data)
        else:
            if not exchange.status:
                self._remember(data)
            self._feed(data)
        if self._exchange is not exchange:
            return
        if self._complete or len(exchange.body) > self._body_limit:
            self._end(None)
        elif self.received > self._body_limit + HEADROOM:
            self._end(AnswerTooLarge())

    def eof_received(self) -> bool:
        self._closed(None)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None and self._exchange is not None:
            self._read_what_is_left()
        if exc is not None and not isinstance(exc, OSError) and self._exchange is not None:
            self._end(exc)  # raised in one of our callbacks, not caused by the receiver
        else:
            self._closed(exc)
        self._transport = None

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._exchange is not None:
            self._write_on(self._exchange)

    # callbacks of the parser

    def on_message_begin(self) -> None:
        if self._complete:
            self._beyond = True

    def on_header(self, name: bytes, value: bytes) -> None:
        exchange = self._exchange
        if exchange is None or exchange.status:  # else a trailer
            return
        self._field_count += 1
        if self._field_count > MAX_FIELDS or len(name) + len(value) > MAX_FIELD:
            self._closing = True
            name, value = name[:MAX_FIELD], value[:MAX_FIELD]
            if self._field_count > MAX_FIELDS and name.lower() not in _STEERING:
                return
        exchange.fields.append((name, value))

    def on_headers_complete(self) -> None:
        exchange, parser = self._exchange, self._parser
        if exchange is None or parser is None or self._complete:
            return
        status = parser.get_status_code()
        self._interim = 100 <= status <= 199
        if self._interim:
            exchange.fields.clear()
            self._field_count = 0
            return
        exchange.status = status
        self._head = b""
        self._to_the_end = status not in _BODILESS and not any(
            name.lower() in (b"content-length", b"transfer-encoding") for name, _ in exchange.fields
        )

    def on_body(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is not None and not self._complete and len(exchange.body) <= self._body_limit:
            exchange.body = exchange.body + data if exchange.body else data

    def on_message_complete(self) -> None:
        if not self._interim and not self._complete and self._parser is not None:
            self._complete = True
            self._keep = self._parser.should_keep_alive()

    # internals

    def _write_on(self, exchange: HttpExchange) -> None:
        """Write the next piece of a large body."""
        unwritten, transport = self._unwritten, self._transport
        if unwritten is None or self._exchange is not exchange or self._paused or transport is None:
            return
        self._unwritten = unwritten[LARGE_BODY:] if len(unwritten) > LARGE_BODY else None
        transport.write(unwritten[:LARGE_BODY])
        if self._unwritten is not None:
            asyncio.get_running_loop().call_soon(self._write_on, exchange)

    def _remember(self, data: bytes) -> None:
        if not self._head:
            self._head = data
        elif isinstance(self._head, bytearray):
            self._head += data
        else:
            self._head = bytearray(self._head) + data

    def _feed(self, data: bytes) -> None:
        parser = self._parser
        if parser is None:
            return
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._end(NotHttp())
        except httptools.HttpParserError:
            # such as a body after 204, which has none: the response before it counts
            self._beyond = True
            if self._complete:
                self._end(None)
            elif self._exchange is None or self._exchange.status or not self._head:
                self._end(NotHttp())
            else:
                self._lenient = LenientHead()
                self._feed_lenient(self._lenient, self._head)

    def _feed_lenient(self, lenient: LenientHead, data: bytes | bytearray | None) -> None:
        """Read a head that is not strictly valid HTTP. `data` is None at the end of the connection."""
        try:
            answer = lenient.end() if data is None else lenient.feed(data)
        except ValueError:
            self._end(NotHttp())
            return
        if answer is not None and self._exchange is not None:
            self._exchange.fields.clear()
            self._field_count = 0
            self._lenient = None
            self._closing = True
            self._head = b""
            self._parser = httptools.HttpResponseParser(self)
            self._feed(answer)

    def _read_what_is_left(self) -> None:
        """Writing failed because the receiver responded and closed. Its response may still be in the socket's
        buffer. (Accepted: with TLS it cannot be decrypted here.)"""
        if self._socket is None or self.origin.secure:
            return
        try:
            while self._exchange is not None and (data := os.read(self._socket.fileno(), LARGE_BODY)):
                self.data_received(data)
        except OSError:
            return

    def _closed(self, error: Exception | None) -> None:
        exchange = self._exchange
        if exchange is not None and not exchange.status and self._head:
            if self._lenient is None:
                self._lenient = LenientHead()
                self._feed_lenient(self._lenient, self._head)
            if self._exchange is not None and self._lenient is not None and error is None:
                self._feed_lenient(self._lenient, None)
            if self._exchange is None:
                return
        if exchange is None:
            self._lost(self)
        elif exchange.status and self._to_the_end and error is None:
            self._beyond = True
            self._end(None)
        else:
            self._end(HungUp())

    def _end(self, error: Exception | None) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        transport = self._transport
        reusable = (
            error is None
            and self._complete
            and not self._beyond
            and not self._closing
            and self._unwritten is None
            and not self._to_the_end
            and transport is not None
            and not transport.is_closing()
            and transport.get_write_buffer_size() == 0  # otherwise it responded before reading all
            and self._keep
        )
        self._parser = self._lenient = self._unwritten = None
        self._head = b""
        if not reusable and transport is not None:
            transport.abort()
        self._ended(self, exchange, error, reusable)
