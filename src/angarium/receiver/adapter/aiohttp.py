"""aiohttp: `app.router.add_post("/webhooks", handler(receiver))`.

aiohttp decompresses bodies that have a `Content-Encoding` before a handler sees them. For a sender that signs
compressed bytes start the application with `web.AppRunner(app, auto_decompress=False)`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from angarium.receiver.receiver import Receiver


def handler(receiver: Receiver) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def receive(request: web.Request) -> web.Response:
        raw = await _body(request, receiver.max_body)
        answer = await receiver.ahandle(raw, request.raw_headers)
        return web.Response(body=answer.body, status=answer.status, headers=dict(answer.headers))

    return receive


async def _body(request: web.Request, most: int) -> bytes:
    """The raw body, no more than a piece too much of it; the application's own limit does not count."""
    pieces, length = [], 0
    async for piece in request.content.iter_any():
        pieces.append(piece)
        length += len(piece)
        if length > most:
            break
    return b"".join(pieces)
