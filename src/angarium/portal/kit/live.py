"""Sends server-sent events (HTML, 9.2) to an open page when its content changes.

An event has no content; the page then fetches its part again. The stream calls `poll` regularly for a text
that changes with the content; the page sends the text that it was rendered from. Streams are limited in
number per process and application, in duration and in the share of time that `poll` may take. A stream ends
with the session, the browser or the server. It holds no database connection between two calls of `poll`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Final
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from angarium.core.errors import NotAuthenticated, NotFound, StoreUnavailable
from angarium.portal.kit.text import t
from angarium.portal.kit.visit import Visit

EVERY: Final = 1.5  # seconds between two calls of `poll`
COST: Final = 20  # the pause is at least this many times as long as the call of `poll` before it
HEARTBEAT: Final = 15.0  # seconds after which a comment is sent and the session is checked, without news
LIFETIME: Final = 240.0  # seconds; the browser then reconnects
PATIENCE: Final = 10.0  # seconds that a browser may take to read an event
MAX_VIEWERS: Final = 100
MAX_OF_APPLICATION: Final = 20
MAX_VERSION: Final = 64

Poll = Callable[[], Awaitable[str]]


class Viewers:
    """Counts the open streams of a process."""

    def __init__(self) -> None:
        self._watching: Counter[UUID] = Counter()

    @property
    def count(self) -> int:
        return self._watching.total()

    @contextlib.contextmanager
    def joined(self, app_id: UUID) -> Iterator[bool]:
        """Counts a stream; yields False if there are too many."""
        if self.count >= MAX_VIEWERS or self._watching[app_id] >= MAX_OF_APPLICATION:
            yield False
            return
        self._watching[app_id] += 1
        try:
            yield True
        finally:
            self._watching[app_id] -= 1
            self._watching += Counter()  # removes applications with no stream left


def viewers_of(request: Request) -> Viewers:
    """The viewers of this process."""
    state = request.app.state
    if not hasattr(state, "viewers"):
        state.viewers = Viewers()
    viewers: Viewers = state.viewers
    return viewers


def version(*seen: object) -> str:
    """A short text that changes when any of the values changes."""
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]


class Stream(Response):
    """The stream of a page. The query's `seen` is the text that the page was rendered from.

    Above the limits it answers 503, and portal.js polls instead.
    """

    media_type = "text/event-stream"

    def __init__(self, visit: Visit, poll: Poll) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._visit = visit
        self._poll = poll

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with viewers_of(self._visit.request).joined(self._visit.app_id) as admitted:
            if not admitted:
                await Response(t("error.live"), 503, headers={"retry-after": "30"})(scope, receive, send)
                return
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            gone = asyncio.create_task(_until_gone(receive))
            told = asyncio.create_task(self._tell(send))
            try:
                await asyncio.wait((gone, told), return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (gone, told):
                    task.cancel()
                await asyncio.gather(gone, told, return_exceptions=True)
        if not told.cancelled():
            told.result()

    async def _tell(self, send: Send) -> None:
        visit, clock = self._visit, self._visit.services.clock
        stopping: asyncio.Event = visit.request.app.state.stopping
        headers, query = visit.request.headers, visit.request.query_params
        seen = (headers.get("last-event-id") or query.get("seen", ""))[:MAX_VERSION]
        checked = told = clock.steady()
        end = checked + min(LIFETIME, visit.claims.expires_at - clock.now())
        if visit.request.method != "HEAD":
            await _write(send, b"retry: 2000\n\n")
        while visit.request.method != "HEAD" and clock.steady() < end and not stopping.is_set():
            began = clock.steady()
            try:
                found = await self._poll()
                if found != seen or began - checked >= HEARTBEAT:
                    checked = began
                    await visit.services.token.check_live(visit.claims)
            except (NotAuthenticated, NotFound):
                break
            except StoreUnavailable:
                found = seen  # the next call of `poll` tries again
            if found != seen:
                data = b"data: news\n" if seen else b""  # the first event of a page without `seen`
                await _write(send, b"id: %b\n%b\n" % (found.encode(), data))
                seen, told = found, began
            elif began - told >= HEARTBEAT:
                await _write(send, b":\n\n")
                told = began
            pause = max(EVERY, COST * (clock.steady() - began))
            await clock.wait(stopping, clock.now() + min(end - clock.steady(), pause))
        await _write(send, b"", more=False)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _write(send: Send, data: bytes, *, more: bool = True) -> None:
    """Raises TimeoutError when the browser does not read."""
    async with asyncio.timeout(PATIENCE):
        await send({"type": "http.response.body", "body": data, "more_body": more})
