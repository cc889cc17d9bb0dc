"""For access tests: every route of an application, and clients that come from a new address each time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import httpx
from fastapi.routing import iter_route_contexts


def operations(app: Any) -> Iterator[tuple[str, str]]:
    """Method and path of every route; HEAD and OPTIONS, which say no more than GET, left out."""
    while hasattr(app, "_app"):
        app = app._app
    for route in iter_route_contexts(app.router.routes):
        for method in sorted((getattr(route, "methods", None) or set()) - {"HEAD", "OPTIONS"}):
            yield method, str(route.path)


class Crowd(httpx.ASGITransport):
    """Every request comes from another address, so that no client is throttled for another's failures."""

    def __init__(self, app: Any) -> None:
        super().__init__(app, raise_app_exceptions=False)
        self._numbers = count(1)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        number = next(self._numbers)
        self.client = (f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 1)
        return await super().handle_async_request(request)
