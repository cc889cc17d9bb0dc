"""Limits what an unauthenticated HTTP client may send to uvicorn.

- A head (request line and headers) is limited in size, number of headers and time: 414, 431 or 408.
- A request whose end is ambiguous between parsers is answered 400.
- A refusal ends the connection, after the earlier requests on it are answered.

`Upgrade` is ignored, as RFC 9110 section 7.8 allows, and the body is read: Java's HTTP client asks for h2c on
its first requests. llhttp would parse the body as the next request, so the head is parsed again without it.
"""

from __future__ import annotations

import asyncio
import json
from enum import Enum, auto
from typing import Any, Final

import httptools
import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from angarium.shutdown import Shutdown

log = structlog.get_logger(__name__)

URL_LIMIT: Final = 16 * 1024
HEAD_LIMIT: Final = 32 * 1024
FIELD_LIMIT: Final = 100
HEAD_SECONDS: Final = 20.0
"""From the first byte of a head to its last."""
PIPELINE_LIMIT: Final = 64
"""Pipelined requests that may wait on one connection."""
LINGER: Final = 5.0
"""Seconds in which a client may send the rest of a request that was answered early. Closing at once would
reset the connection, and the client would lose the response."""
FRAME_LIMIT: Final = 64 * 1024
FRAME_RATIO: Final = 8
"""Bytes of chunk sizes, chunk extensions and trailers: a fixed part, and a part per byte of content."""


class FramingRefused(Exception):
    """The request is not parsed any further."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        self.status = status
        self.code = code
        self.detail = detail


_TOO_LONG: Final = FramingRefused(414, "url_too_long", f"The URL is longer than {URL_LIMIT:,} bytes.")
_TOO_LARGE: Final = FramingRefused(
    431, "headers_too_large", f"The headers are larger than {HEAD_LIMIT:,} bytes or more than {FIELD_LIMIT}."
)
_TOO_SLOW: Final = FramingRefused(
    408, "request_timeout", f"The headers did not arrive within {HEAD_SECONDS:.0f} seconds."
)


def _ambiguous(detail: str) -> FramingRefused:
    return FramingRefused(400, "bad_request", detail)


class _Part(Enum):
    """What the next byte belongs to."""

    NOTHING = auto()
    HEAD = auto()
    BODY = auto()


class Framed(HttpToolsProtocol):
    """One connection. Calls `on_request` and `on_request_complete` for requests within the limits."""

    def __init__(self, *args: Any, shutdown: Shutdown | None = None, **kwargs: Any) -> None:
        """Once `shutdown` has begun, every response announces that it is the last on its connection."""
        super().__init__(*args, **kwargs)
        self._shutdown = shutdown or Shutdown()
        self._part = _Part.NOTHING
        self._head = 0  # bytes of the head that the parser has reported
        self._unreported = 0  # bytes of reads in which the parser reported nothing
        self._hosts = 0
        self._upgrading = False
        self._refused = False
        self._waiting: FramingRefused | None = None  # answered after the requests in progress
        self._content = 0  # bytes of the body
        self._frame = 0  # bytes around them
        self._is_new = False  # whether the body began in this read
        self._timer: asyncio.TimerHandle | None = None
        self._linger: asyncio.TimerHandle | None = None

    # called by the transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._timer, self._linger):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self._refused:
            return
        head, content = self._head, self._content
        try:
            self._feed(data)
            if self._part is _Part.BODY:
                self._check_frame(len(data), content)
            elif self._part is _Part.HEAD:
                self._unreported = self._unreported + len(data) if self._head == head else 0
                if self._unreported > HEAD_LIMIT:
                    raise _TOO_LARGE if self.url else _TOO_LONG
        except FramingRefused as refused:
            self._refuse(refused)
            return
        if (
            self._part is not _Part.BODY
            and self._timer is None
            and (self._part is _Part.HEAD or not self._is_busy())
        ):
            self._timer = self.loop.call_later(HEAD_SECONDS, self._refuse, _TOO_SLOW)

    def _feed(self, data: bytes) -> None:
        while data:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as stop:
                data = self._without_upgrade() + data[stop.args[0] :]
            except httptools.HttpParserError as error:
                if isinstance(error.__context__, FramingRefused):
                    raise error.__context__ from None
                raise _ambiguous(f"This is not a valid HTTP request: {error}.") from None

    def _without_upgrade(self) -> bytes:
        lines = [b"%b %b HTTP/1.1\r\n" % (self.parser.get_method(), self.url)]
        lines += [b"%b: %b\r\n" % field for field in self.headers if field[0] != b"upgrade"]
        self._upgrading = False
        return b"".join(lines) + b"\r\n"

    def _check_frame(self, size: int, content: int) -> None:
        """Counts the framing bytes of a body, except in the read in which the body began."""
        if not self._is_new:
            self._frame += size - (self._content - content)
            if self._frame > FRAME_LIMIT + FRAME_RATIO * self._content:
                raise _ambiguous("The body has too many bytes of chunk extensions and trailers.")
        self._is_new = False

    # called by the parser

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._part = _Part.HEAD
        self._head = self._hosts = 0

    def on_url(self, url: bytes) -> None:
        self._head += len(url)
        if self._head > URL_LIMIT:
            raise _TOO_LONG
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._part is not _Part.HEAD:
            return  # trailers are ignored: they arrive after the request was checked
        self._head += len(name) + len(value) + 4
        if self._head > HEAD_LIMIT + URL_LIMIT or len(self.headers) >= FIELD_LIMIT:
            raise _TOO_LARGE
        name = name.lower()
        if name == b"host":
            self._hosts += 1
        elif name == b"transfer-encoding" and value.strip().lower() != b"chunked":
            raise _ambiguous("The only supported transfer coding is chunked.")
        elif name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._check_head()
        if self.parser.should_upgrade():
            self._upgrading = True
            return
        self._part = _Part.BODY
        self._content = self._frame = 0
        self._is_new = True
        self.on_request()

    def _check_head(self) -> None:
        version = self.parser.get_http_version()
        if version == "1.1":
            if self._hosts != 1:
                raise _ambiguous("A request must have exactly one Host header.")
        elif version != "1.0":
            raise FramingRefused(505, "http_version", "This server supports HTTP/1.1 and HTTP/1.0.")
        elif self._hosts > 1 or any(name == b"transfer-encoding" for name, _ in self.headers):
            raise _ambiguous(
                "An HTTP/1.0 request must not have Transfer-Encoding, and at most one Host header."
            )
        if self.parser.get_method() == b"CONNECT":
            raise _ambiguous("This server is not a proxy.")
        if len(self.pipeline) >= PIPELINE_LIMIT:
            raise _ambiguous(f"More than {PIPELINE_LIMIT} requests wait on this connection.")

    def on_body(self, body: bytes) -> None:
        self._content += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._upgrading:
            return
        self._part = _Part.NOTHING
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        self.on_request_complete()

    # requests and responses

    def on_request(self) -> None:
        """Called when a head within the limits is complete."""
        super().on_headers_complete()
        if self._shutdown.begun.is_set():
            self.cycle.keep_alive = False

    def end_after_last(self) -> None:
        """Ends the connection after the last of the responses under way, which announces it. Does nothing if
        there is none, or if its head is sent."""
        last = self.pipeline[0][0] if self.pipeline else self.cycle
        if self._is_busy() and not getattr(last, "response_started", False):
            last.keep_alive = False

    def on_request_complete(self) -> None:
        """Called when the body is complete."""
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._is_busy() or self.transport.is_closing():
            return
        if self._waiting is not None:
            self._end(self._waiting)
        elif self._part is _Part.BODY and self._linger is None:
            self._linger = self.loop.call_later(LINGER, self.transport.close)

    def _is_busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, refused: FramingRefused) -> None:
        """Responds to the earlier requests, then with this refusal, and closes the connection."""
        self._refused = True
        if self.transport.is_closing():
            return
        log.info(
            "http.refused", client=self.client and self.client[0], status=refused.status, code=refused.code
        )
        if not self._is_busy():
            self._end(refused)
        elif self._part is not _Part.BODY:
            self._waiting = refused
        elif self.pipeline or self.cycle.response_started:
            self.transport.close()
        else:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self._end(refused)

    def _end(self, refused: FramingRefused) -> None:
        body = json.dumps({"code": refused.code, "detail": refused.detail}).encode()
        lines = [STATUS_LINE[refused.status]]
        for name, value in self.server_state.default_headers:
            lines += (name, b": ", value, b"\r\n")
        lines.append(
            b"content-type: application/json\r\nx-content-type-options: nosniff\r\n"
            b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (len(body), body)
        )
        self.transport.write(b"".join(lines))
        self._unset_keepalive_if_required()
        self._linger = self.loop.call_later(LINGER, self.transport.close)
        self.flow.resume_reading()
        self.transport.write_eof()
