"""Serves pages for an operator's tools, such as `/metrics`, on a listener of its own in every role.

The listener has no authentication, so it is never the public one. It serves a table of routes: a path, and a
coroutine that returns the page. A request is a GET or HEAD without a body; its head is limited in size and
time, its page in time, and connections in number. Every connection ends after one response.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

import structlog

log = structlog.get_logger(__name__)

HEAD_LIMIT: Final = 8 * 1024
HEAD_SECONDS: Final = 5.0
PAGE_SECONDS: Final = 10.0
MOST: Final = 32  # connections
TEXT: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class OpsRequest:
    """A request. `headers`: their names in lower case."""

    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OpsPage:
    """A response."""

    status: int
    body: bytes
    content_type: str = TEXT


OpsRoute = Callable[[OpsRequest], Awaitable[OpsPage]]


def text_page(status: int, text: str) -> OpsPage:
    """A page of plain text."""
    return OpsPage(status, text.encode() + b"\n")


@contextlib.asynccontextmanager
async def serving(listener: socket.socket | None, routes: Mapping[str, OpsRoute]) -> AsyncIterator[None]:
    """Serve the routes on a bound socket, and close it on leaving. None: serve nothing."""
    if listener is None:
        yield
        return
    connections = _Connections(routes)
    server = await asyncio.start_server(connections.serve, sock=listener, limit=HEAD_LIMIT)
    try:
        yield
    finally:
        server.close()
        connections.close()


class _Connections:
    def __init__(self, routes: Mapping[str, OpsRoute]) -> None:
        self._routes = routes
        self._open: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= MOST:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            method, page = await self._exchange(reader)
            _write(writer, page, head_only=method == "HEAD")
            async with asyncio.timeout(HEAD_SECONDS):
                await writer.drain()
        except (OSError, EOFError, TimeoutError):
            pass  # the client has gone, or does not read
        except asyncio.CancelledError:
            pass  # by `close`; the server of the connection would report it as an error
        finally:
            self._open.discard(task)
            writer.close()

    def close(self) -> None:
        """Close all connections. A page under way is not waited for."""
        for task in self._open:
            task.cancel()

    async def _exchange(self, reader: asyncio.StreamReader) -> tuple[str, OpsPage]:
        try:
            async with asyncio.timeout(HEAD_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
        except TimeoutError:
            return "GET", text_page(408, f"The headers did not arrive within {HEAD_SECONDS:g} seconds.")
        except asyncio.LimitOverrunError:
            return "GET", text_page(431, f"The headers are larger than {HEAD_LIMIT:,} bytes.")
        first, *lines = head.decode("latin-1").split("\r\n")
        words = first.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return "GET", text_page(400, "This is not an HTTP/1 request.")
        method, target, _ = words
        path, _, query = target.partition("?")
        if method not in ("GET", "HEAD"):
            return method, text_page(405, "Only GET and HEAD are allowed.")
        route = self._routes.get(path)
        if route is None:
            return method, text_page(404, f"No such path. Paths: {', '.join(sorted(self._routes))}")
        fields = (line.partition(":") for line in lines if line)
        headers = {name.strip().lower(): value.strip() for name, _, value in fields}
        return method, await _page(route, OpsRequest(path, query, headers))


async def _page(route: OpsRoute, request: OpsRequest) -> OpsPage:
    try:
        async with asyncio.timeout(PAGE_SECONDS):
            return await route(request)
    except TimeoutError:
        return text_page(503, f"The page was not ready within {PAGE_SECONDS:g} seconds.")
    except Exception:
        log.exception("ops.failed", path=request.path)
        return text_page(500, "An internal error prevented this page.")


def _write(writer: asyncio.StreamWriter, page: OpsPage, *, head_only: bool) -> None:
    allow = "allow: GET, HEAD\r\n" if page.status == 405 else ""
    head = (
        f"HTTP/1.1 {page.status} {HTTPStatus(page.status).phrase}\r\n"
        f"content-type: {page.content_type}\r\n"
        f"content-length: {len(page.body)}\r\n"
        f"{allow}connection: close\r\n\r\n"
    )
    writer.write(head.encode("latin-1") + (b"" if head_only else page.body))
