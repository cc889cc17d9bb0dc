"""What every request passes first: whence it comes, one trailing slash, CORS, and the limit of the body.

Plain ASGI and one class, because the intake route pays for every layer.
"""

from __future__ import annotations

from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from angarium.core.errors import TooLarge
from angarium.service import audit

_ORIGIN = b"origin"
_EXPOSED: list[tuple[bytes, bytes]] = [(b"access-control-allow-origin", b"*"), (b"vary", b"origin")]


class Edge:
    """Wraps the application; `body_limit` in bytes."""

    def __init__(self, app: ASGIApp, body_limit: int) -> None:
        self._app = app
        self._body_limit = body_limit

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
        if scope["method"] not in ("GET", "HEAD"):
            receive = self._limited(headers, receive)
        await self._app(scope, receive, send)

    def _limited(self, headers: dict[bytes, bytes], receive: Receive) -> Receive:
        """Counts what really arrives; Content-Length only makes the refusal earlier."""
        limit = self._body_limit
        declared = headers.get(b"content-length", b"")
        seen = int(declared) if declared.isdigit() and len(declared) < 19 and int(declared) > limit else 0

        async def limited() -> Message:
            nonlocal seen
            if seen > limit:
                raise TooLarge(f"The request body is larger than {limit} bytes.")
            message = await receive()
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                if seen > limit:
                    raise TooLarge(f"The request body is larger than {limit} bytes.")
            return message

        return limited


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
