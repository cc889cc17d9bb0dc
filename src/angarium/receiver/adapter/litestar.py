"""Litestar: `Litestar(route_handlers=[handler(receiver, "/webhooks")])`."""

from __future__ import annotations

from litestar import Request, Response
from litestar.handlers import HTTPRouteHandler, post

from angarium.receiver.adapter import body_of
from angarium.receiver.receiver import Receiver


def handler(receiver: Receiver, path: str) -> HTTPRouteHandler:
    # no limit of Litestar's: it would respond before the Receiver does
    @post(path, request_max_body_size=None, status_code=200)
    async def receive(request: Request) -> Response:  # type: ignore[type-arg]
        raw = await body_of(request.stream(), receiver.max_body)
        answer = await receiver.ahandle(raw, request.scope["headers"])
        headers = {name: value for name, value in answer.headers.items() if name != "content-type"}
        media_type = answer.headers.get("content-type")
        return Response(answer.body, status_code=answer.status, headers=headers, media_type=media_type)

    return receive
