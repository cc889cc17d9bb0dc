"""Starlette: `Starlette(routes=[route(receiver, "/webhooks")])`."""

from __future__ import annotations

from starlette.routing import Route

from angarium.receiver.adapter import asgi
from angarium.receiver.receiver import Receiver


class _Endpoint:
    """An object, because Starlette calls a plain function with a Request."""

    def __init__(self, receiver: Receiver) -> None:
        self._application = asgi(receiver)

    async def __call__(self, scope: object, receive: object, send: object) -> None:
        await self._application(scope, receive, send)  # type: ignore[arg-type]


def route(receiver: Receiver, path: str, *, name: str | None = None) -> Route:
    return Route(path, _Endpoint(receiver), methods=["POST"], name=name or receiver.source)
