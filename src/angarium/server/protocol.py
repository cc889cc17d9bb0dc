"""uvicorn's HTTP protocol with the limits of `framing.py` and two optimizations.

- The head and the body of a response are sent in one system call; uvicorn writes them separately.
- A POST that arrives in one read, on a connection without other requests, is offered to the fast path
  (`api/fast_path.py`), which needs neither a task nor a scope. All other requests are handled by uvicorn.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, Final, cast

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from angarium.api.fast_path import FastPath
from angarium.server.framing import Framed

_CLOSE: Final = b"connection: close\r\n"


class Joined:
    """A transport that sends all writes of one loop iteration together."""

    __slots__ = ("_held", "_loop", "_transport", "is_closing")

    def __init__(self, transport: asyncio.Transport) -> None:
        self.is_closing = transport.is_closing
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._held: list[bytes] = []

    def write(self, data: bytes) -> None:
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held.append(data)

    def write_now(self, data: bytes) -> None:
        """Flushes the buffer, then writes."""
        self._flush()
        self._transport.write(data)

    def write_eof(self) -> None:
        self._flush()
        self._transport.write_eof()

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _flush(self) -> None:
        if self._held:
            data = b"".join(self._held)
            self._held.clear()
            self._transport.write(data)


class _Taken:
    """Stands in for uvicorn's request cycle, so that pipelining, timeouts and shutdown work."""

    __slots__ = ("disconnected", "keep_alive", "response_complete")

    message_event: Final = asyncio.Event()  # never awaited

    def __init__(self) -> None:
        self.disconnected = False
        self.keep_alive = True
        self.response_complete = False


class Protocol(Framed):
    """One connection. Without `fast_path` every request goes through the application."""

    def __init__(self, *args: Any, fast_path: FastPath | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._fast_path = fast_path
        self._offered: bytes | None = None  # the body so far of a request that may take the fast path

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast(asyncio.Transport, Joined(transport)))

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._offered is not None and not self._refused and not self.transport.is_closing():
            self._use_ordinary_path()  # the body needs more than one read

    # called by the parser

    def on_request(self) -> None:
        if self._is_plain():
            self._offered = b""
        else:
            super().on_request()

    def on_body(self, body: bytes) -> None:
        if self._offered is None:
            super().on_body(body)
        else:
            self._offered += body

    def on_request_complete(self) -> None:
        if self._offered is not None and not self._take_fast_path(self._offered):
            self._use_ordinary_path()
        if self._offered is None:
            super().on_request_complete()
        self._offered = None

    # the fast path and the ordinary one

    def _is_plain(self) -> bool:
        parser = self.parser
        return (
            self._fast_path is not None
            and parser.get_method() == b"POST"
            and (self.cycle is None or self.cycle.response_complete)
            and not self.expect_100_continue
            and not self.flow.write_paused
            and parser.should_keep_alive()
            and parser.get_http_version() == "1.1"
        )

    def _take_fast_path(self, body: bytes) -> bool:
        assert self._fast_path is not None
        taken = _Taken()
        taken.keep_alive = not self._shutdown.begun.is_set()
        if not self._fast_path.take(self.url, self.headers, body, partial(self._answer, taken)):
            return False
        self.cycle = taken  # type: ignore[assignment]
        return True

    def _use_ordinary_path(self) -> None:
        """Hands the request to uvicorn."""
        body, self._offered = self._offered, None
        super().on_request()
        if body:
            super().on_body(body)

    def _answer(self, taken: _Taken, response: Response) -> None:
        taken.response_complete = True
        if taken.disconnected or self.transport.is_closing():
            return
        lines = [STATUS_LINE[response.status_code]]
        always = self.server_state.default_headers
        more = () if self._fast_path is None else self._fast_path.headers
        for name, value in (*always, *response.raw_headers, *more):
            lines += (name, b": ", value, b"\r\n")
        if not taken.keep_alive:
            lines.append(_CLOSE)
        lines += (b"\r\n", bytes(response.body))
        cast(Joined, self.transport).write_now(b"".join(lines))
        if not taken.keep_alive:
            self.transport.close()
        self.on_response_complete()
