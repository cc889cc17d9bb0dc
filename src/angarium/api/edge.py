"""What every request passes first: whence it comes, one trailing slash, CORS, and the limit of the body.

Plain ASGI and one class, because the intake route pays for every layer.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from angarium.api.express import Express
from angarium.core.errors import BadRequest, Overloaded, TooLarge
from angarium.service import audit

_ORIGIN = b"origin"
_EXPOSED: list[tuple[bytes, bytes]] = [(b"access-control-allow-origin", b"*"), (b"vary", b"origin")]

DOORS: Final = ("/login", "/admin/login")
DOOR_LIMIT: Final = 16 * 1024
"""Bytes of a body at the doors, where nobody is known yet."""
BODY_DEADLINE: Final = 60.0
"""Seconds that a body may take from its first piece to its last: what has begun holds memory."""
HELD: Final = 64 * 1024 * 1024
"""Bytes of bodies that may be in memory at once, of all requests that are not answered yet."""


class Edge:
    """Wraps the application; `body_limit` in bytes. `express` is for servers that can offer it requests."""

    def __init__(self, app: ASGIApp, body_limit: int, express: Express) -> None:
        self.express: Final = express
        self._app = app
        self._body_limit = body_limit
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        client = scope.get("client")
        audit.arrived(client[0] if client else None)
        path: str = scope["path"]
        if path.endswith("/") and path.strip("/"):
            scope["path"] = path[:-1]
            scope["raw_path"] = scope.get("raw_path", b"").removesuffix(b"/")
        headers = dict(scope["headers"])
        if _ORIGIN in headers:
            if scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
                await _preflight(headers, send)
                return
            send = _with_cors(send)
        if scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        limit = DOOR_LIMIT if path.startswith(DOORS) else self._body_limit
        body = _Body(self, headers, receive, limit)
        try:
            await self._app(scope, body.receive, send)
        except ClientDisconnect:
            return  # whoever hung up in the middle of a request waits for no answer
        finally:
            self._held -= body.held

    def hold(self, size: int) -> None:
        """Count bytes of a body. Raises Overloaded when there are too many."""
        if self._held + size > HELD:
            raise Overloaded
        self._held += size


class _Body:
    """One request's body: counts what really arrives; Content-Length only makes the refusal earlier."""

    __slots__ = ("_deadline", "_edge", "_limit", "_more", "_receive", "_too_large", "held")

    def __init__(self, edge: Edge, headers: dict[bytes, bytes], receive: Receive, limit: int) -> None:
        self._edge = edge
        self._receive = receive
        self._limit = limit
        declared = headers.get(b"content-length", b"")
        self._too_large = declared.isdigit() and len(declared) < 19 and int(declared) > limit
        self._deadline: float | None = None
        self._more = False
        self.held = 0

    async def receive(self) -> Message:
        if not self._too_large:
            message = await (self._next() if self._more else self._receive())
            size = len(message.get("body", b"")) if message["type"] == "http.request" else 0
            self._too_large = self.held + size > self._limit
        if self._too_large:
            raise TooLarge(f"The request body is larger than {self._limit} bytes.")
        self._edge.hold(size)
        self.held += size
        self._more = message.get("more_body", False)
        return message

    async def _next(self) -> Message:
        """What follows the first piece. Raises BadRequest when it takes too long."""
        loop = asyncio.get_running_loop()
        if self._deadline is None:
            self._deadline = loop.time() + BODY_DEADLINE
        try:
            async with asyncio.timeout_at(self._deadline):
                return await self._receive()
        except TimeoutError:
            raise BadRequest("The request's body did not arrive in time.", code="body_too_slow") from None


async def _preflight(headers: dict[bytes, bytes], send: Send) -> None:
    allowed: list[tuple[bytes, bytes]] = [
        *_EXPOSED,
        (b"access-control-allow-methods", headers[b"access-control-request-method"]),
        (b"access-control-max-age", b"600"),
        (b"content-length", b"0"),
    ]
    if (wanted := headers.get(b"access-control-request-headers")) is not None:
        allowed.append((b"access-control-allow-headers", wanted))
    await send({"type": "http.response.start", "status": 200, "headers": allowed})
    await send({"type": "http.response.body", "body": b""})


def _with_cors(send: Send) -> Send:
    async def exposed(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *_EXPOSED]}
        await send(message)

    return exposed  # type: ignore[return-value]
