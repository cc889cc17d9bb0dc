"""Receives requests to Play inboxes: public, any method; the response is never HTML."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from angarium.core import ids
from angarium.core.errors import (
    AngariumError,
    BodyTooLarge,
    NotFound,
    Overloaded,
    StoreUnavailable,
    TooSlow,
)
from angarium.core.inbox import NO_ANSWER, PATH, InboxAnswer
from angarium.portal.kit.visit import services_of
from angarium.service import play

METHODS: Final = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
MAX_WAITING: Final = 500  # concurrent delayed requests in this process
LONGEST_SILENCE: Final = 65.0  # seconds; longer than any product's timeout
_HEADERS: Final = {"cache-control": "no-store"}
_STATUS: Final[dict[type[AngariumError], int]] = {
    NotFound: 404,
    TooSlow: 408,
    BodyTooLarge: 413,
    Overloaded: 429,
    StoreUnavailable: 503,
}


class WaitingRequests:
    """Counts and delays requests."""

    def __init__(self) -> None:
        self.count = 0

    async def answer(self, request: Request, answer: InboxAnswer) -> Response:
        """The response, after its delay."""
        if answer.delay or answer.status_code == NO_ANSWER:
            if self.count >= MAX_WAITING:
                return _said(503, "Too many delayed requests. Try again later.")
            self.count += 1
            try:
                silent = answer.status_code == NO_ANSWER
                await _wait(request, LONGEST_SILENCE if silent else answer.delay)
            finally:
                self.count -= 1
        return _answer(answer.status_code)


async def _wait(request: Request, seconds: float) -> None:
    """Waits, at most until the client disconnects or the server stops."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    stopping: asyncio.Event = request.app.state.stopping
    ends = [asyncio.create_task(gone()), asyncio.create_task(stopping.wait())]
    try:
        await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for end in ends:
            end.cancel()
        await asyncio.gather(*ends, return_exceptions=True)


def _answer(status: int) -> Response:
    if status in (204, 304):
        return Response(None, status, headers=_HEADERS)
    more = {}
    if status in (301, 302, 307):
        more = {"location": "/"}
    if status in (429, 503):
        more = {"retry-after": "5"}
    if status == NO_ANSWER:
        status = 504
    return JSONResponse({"received": 200 <= status <= 299}, status, headers=_HEADERS | more)


def _said(status: int, words: str) -> Response:
    more = {"retry-after": "1"} if status in (429, 503) else {}
    return JSONResponse({"detail": words}, status, headers=_HEADERS | more)


def routes() -> list[Route]:
    waiting = WaitingRequests()

    async def take(request: Request) -> Response:
        """Receives a request for an inbox."""
        try:
            inbox_id = ids.parse(ids.INBOX, request.path_params["inbox"])
            if inbox_id is None:
                raise NotFound("Inbox not found.")
            inboxes = services_of(request).play
            await inboxes.expect(inbox_id)
            came = play.IncomingRequest(request.method, _headers(request), await request.body())
            answer = await inboxes.receive(inbox_id, came)
        except AngariumError as error:
            return _said(_STATUS.get(type(error), 500), error.detail)
        return await waiting.answer(request, answer)

    return [Route(f"{PATH}{{inbox}}", take, methods=METHODS)]


def _headers(request: Request) -> list[tuple[str, str]]:
    raw: list[Any] = request.headers.raw
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in raw]
