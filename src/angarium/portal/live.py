"""News for a page that somebody watches, as server-sent events (HTML, 9.2).

An event only says that there is news; the page then fetches what it shows, as it would without us. While
somebody watches, `look` is asked every now and then what there is to see, as a text that changes with it;
the page knows the text that it was made from. A stream is bounded: in number for each process and
application, in time, in what looking may cost, and it ends with the session, the browser or the server.
No connection to the database is held between two looks.
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
from angarium.portal.visit import Visit

EVERY: Final = 1.5  # seconds between two looks
COST: Final = 20  # a look that takes long is followed by a pause so many times as long
HEARTBEAT: Final = 15.0  # seconds after which something is sent, and the session checked, without any news
LIFETIME: Final = 240.0  # seconds; the browser then comes again by itself
PATIENCE: Final = 10.0  # seconds that a browser may take to read an event
MAX_VIEWERS: Final = 100
MAX_OF_APPLICATION: Final = 20
MAX_MARK: Final = 64

Look = Callable[[], Awaitable[str]]


class Viewers:
    """Who watches, in one process."""

    def __init__(self) -> None:
        self._watching: Counter[UUID] = Counter()

    @property
    def count(self) -> int:
        return self._watching.total()

    @contextlib.contextmanager
    def joined(self, app_id: UUID) -> Iterator[bool]:
        """Be one of them meanwhile; False when there are too many."""
        if self.count >= MAX_VIEWERS or self._watching[app_id] >= MAX_OF_APPLICATION:
            yield False
            return
        self._watching[app_id] += 1
        try:
            yield True
        finally:
            self._watching[app_id] -= 1
            self._watching += Counter()  # forgets whoever has none left


def viewers_of(request: Request) -> Viewers:
    """Those of this process."""
    state = request.app.state
    if not hasattr(state, "viewers"):
        state.viewers = Viewers()
    viewers: Viewers = state.viewers
    return viewers


def mark(*seen: object) -> str:
    """A short text that is another when any of the values is."""
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]


class Stream(Response):
    """News of whatever `look` looks at, beginning with what the page knows: its query's `seen`.

    Who is one viewer too many gets 503, and asks now and then instead (portal.js).
    """

    media_type = "text/event-stream"

    def __init__(self, visit: Visit, look: Look) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._visit = visit
        self._look = look

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with viewers_of(self._visit.request).joined(self._visit.app_id) as admitted:
            if not admitted:
                await _TOO_MANY(scope, receive, send)
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
        seen = (headers.get("last-event-id") or query.get("seen", ""))[:MAX_MARK]
        checked = told = clock.steady()
        end = checked + min(LIFETIME, visit.claims.expires_at - clock.now())
        if visit.request.method != "HEAD":
            await _write(send, b"retry: 2000\n\n")
        while visit.request.method != "HEAD" and clock.steady() < end and not stopping.is_set():
            began = clock.steady()
            try:
                found = await self._look()
                if found != seen or began - checked >= HEARTBEAT:
                    checked = began
                    await visit.services.token.check_live(visit.claims)
            except (NotAuthenticated, NotFound):
                break
            except StoreUnavailable:
                found = seen  # there will be another look
            if found != seen:
                data = b"data: news\n" if seen else b""  # the first look of a page that knows nothing
                await _write(send, b"id: %b\n%b\n" % (found.encode(), data))
                seen, told = found, began
            elif began - told >= HEARTBEAT:
                await _write(send, b":\n\n")
                told = began
            pause = max(EVERY, COST * (clock.steady() - began))
            await clock.wait(stopping, clock.now() + min(end - clock.steady(), pause))
        await _write(send, b"", more=False)


_TOO_MANY: Final = Response("Too many pages are being watched.", 503, headers={"retry-after": "30"})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _write(send: Send, data: bytes, *, more: bool = True) -> None:
    """Raises TimeoutError when the browser does not read."""
    async with asyncio.timeout(PATIENCE):
        await send({"type": "http.response.body", "body": data, "more_body": more})
