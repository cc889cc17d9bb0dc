"""Dispatches the most frequent routes directly, without the layers of FastAPI.

In a measurement, those layers took a third of all CPU time of a message sent and delivered.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog
from fastapi import FastAPI
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from angarium.api import errors
from angarium.core.errors import AngariumError

log = structlog.get_logger(__name__)

Handler = Callable[[Request], Awaitable[Response]]


class FastRoute:
    """Answers POST requests to `{prefix}{app_id}{tail}` itself, and leaves the rest to the application."""

    def __init__(self, app: FastAPI, prefix: str, handlers: Mapping[str, Handler]) -> None:
        self._app: Final = app
        self._prefix: Final = prefix
        self._handlers: Final = dict(handlers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            path: str = scope["path"]
            if path.startswith(self._prefix):
                ref, slash, tail = path[len(self._prefix) :].partition("/")
                handler = self._handlers.get(slash + tail)
                if handler is not None and ref:
                    scope["app"] = self._app
                    scope["path_params"] = {"app_id": ref}
                    await _answer(handler, scope, receive, send)
                    return
        await self._app(scope, receive, send)


async def _answer(handler: Handler, scope: Scope, receive: Receive, send: Send) -> None:
    try:
        response = await handler(Request(scope, receive))
    except AngariumError as error:
        response = errors.answer(error)
    except ClientDisconnect:
        return
    except Exception:
        log.exception("api.failed", method=scope["method"], path=scope["path"])
        response = JSONResponse(errors.INTERNAL, 500)
    await response(scope, receive, send)
