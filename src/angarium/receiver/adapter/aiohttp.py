"""aiohttp: `app.router.add_post("/webhooks", handler(receiver))`.

By default aiohttp decompresses bodies with a `Content-Encoding` before the handler gets them. If the sender
signs compressed bytes, start the application with `web.AppRunner(app, auto_decompress=False)`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from angarium.receiver.adapter import body_of
from angarium.receiver.receiver import Receiver


def handler(receiver: Receiver) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def receive(request: web.Request) -> web.Response:
        # read from the stream: the application's own limit must not apply
        raw = await body_of(request.content.iter_any(), receiver.max_body)
        answer = await receiver.ahandle(raw, request.raw_headers)
        return web.Response(body=answer.body, status=answer.status, headers=dict(answer.headers))

    return receive
