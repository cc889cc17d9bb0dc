"""One request and what has come back for it so far, on one HTTP/1.1 connection.

The parser is llhttp (httptools). Added to it: an answer is cut off after a number of bytes, whatever they
are (endless headers, a storm of 1xx, chunk extensions); once a status has arrived it decides, and of a
body that is slow, endless or broken what came is kept; a connection that speaks out of turn is closed, so
no answer can be taken for the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast

import httptools

from angarium.dispatch.dial import Origin

HEADROOM: Final = 512 * 1024
"""Bytes beyond the captured body that an answer may use for headers, 1xx answers and chunk framing."""
MAX_FIELD: Final = 8190
MAX_FIELDS: Final = 128
LARGE_BODY: Final = 64 * 1024  # from here on a body is not copied behind its head
_BODILESS: Final = (204, 304)


class AnswerTooLarge(Exception):
    """The receiver sent more than is read."""


class NotHttp(Exception):
    """What the receiver sent is no answer of HTTP/1.1."""


class HungUp(Exception):
    """The receiver closed the connection before it answered."""


class Exchange:
    """What is known of one request; `stage` is how far it got: queue, dns, connect, tls, answer."""

    __slots__ = (
        "body", "connection", "content", "dialing", "done", "fields", "fresh", "head", "origin", "stage",
        "started", "status", "timeout",
    )  # fmt: skip

    def __init__(self, origin: Origin, head: bytes, content: bytes, timeout: float) -> None:
        self.origin = origin
        self.head = head
        self.content = content
        self.timeout = timeout
        self.started = 0.0  # by the performance counter
        self.stage = "queue"
        self.fresh = False  # it was begun anew, on a connection of its own
        self.status = 0
        self.fields: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.connection: Connection | None = None
        self.dialing: asyncio.Task[None] | None = None
        self.done: Callable[[Exchange, Exception | None], None] | None = None

    def how_far(self) -> str:
        """The stage; `head` when the answer has begun."""
        connection = self.connection
        begun = self.stage == "answer" and connection is not None and connection.received > 0
        return "head" if begun else self.stage


class Connection(asyncio.Protocol):
    """Carries one exchange at a time. `ended(connection, exchange, error, reusable)` is called when one is
    over, `lost(connection)` when the connection is gone while it carried none."""

    def __init__(
        self,
        origin: Origin,
        body_limit: int,
        ended: Callable[[Connection, Exchange, Exception | None, bool], None],
        lost: Callable[[Connection], None],
    ) -> None:
        self.origin = origin
        self.used = 0  # exchanges carried
        self.received = 0  # bytes of the current one
        self.idle_since = 0.0
        self._body_limit = body_limit
        self._ended = ended
        self._lost = lost
        self._exchange: Exchange | None = None
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._complete = False
        self._beyond = False  # something followed the complete answer
        self._keep = False  # the receiver leaves the connection open
        self._interim = False
        self._to_the_end = False  # the body ends with the connection
        self._field_count = 0

    @property
    def alive(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def begin(self, exchange: Exchange) -> None:
        """Send the request; the connection must be idle."""
        self._exchange = exchange
        self._parser = httptools.HttpResponseParser(self)
        self.used += 1
        self.received = self._field_count = 0
        self._complete = self._keep = self._beyond = self._interim = self._to_the_end = False
        exchange.connection = self
        exchange.stage = "answer"
        if self._transport is None or self._transport.is_closing():
            asyncio.get_running_loop().call_soon(self._end, HungUp())
        elif len(exchange.content) < LARGE_BODY:
            self._transport.write(exchange.head + exchange.content)
        else:
            self._transport.write(exchange.head)
            self._transport.write(exchange.content)

    def close(self) -> None:
        """Give the connection up, and what it carries."""
        self._exchange = None
        if self._transport is not None:
            self._transport.abort()

    # what the transport says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        exchange, parser = self._exchange, self._parser
        if exchange is None or parser is None:
            self.close()
            return
        self.received += len(data)
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._end(NotHttp())
        except httptools.HttpParserCallbackError as error:
            self._end(error.__context__ if isinstance(error.__context__, AnswerTooLarge) else NotHttp())
        except httptools.HttpParserError:
            # a body after 204, say, which has none: the answer before it counts
            self._beyond = True
            self._end(None if self._complete else NotHttp())
        else:
            if self._complete or len(exchange.body) > self._body_limit:
                self._end(None)
            elif self.received > self._body_limit + HEADROOM:
                self._end(AnswerTooLarge())

    def eof_received(self) -> bool:
        self._closed(None)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed(exc)
        self._transport = None

    # what the parser says

    def on_message_begin(self) -> None:
        if self._complete:
            self._beyond = True

    def on_header(self, name: bytes, value: bytes) -> None:
        self._field_count += 1
        if self._field_count > MAX_FIELDS or len(name) + len(value) > MAX_FIELD:
            raise AnswerTooLarge
        exchange = self._exchange
        if exchange is not None and not exchange.status:  # else a trailer
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

    # what follows

    def _closed(self, error: Exception | None) -> None:
        exchange = self._exchange
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
            and not self._to_the_end
            and transport is not None
            and not transport.is_closing()
            and transport.get_write_buffer_size() == 0  # else it answered before it had read
            and self._keep
        )
        self._parser = None
        if not reusable and transport is not None:
            transport.abort()
        self._ended(self, exchange, error, reusable)
