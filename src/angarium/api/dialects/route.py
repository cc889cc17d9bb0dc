"""Defines the route class of a dialect, which answers every error in the product's own format.

Unexpected exceptions are logged and answered as `Unexpected`, without internal details.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from starlette.requests import Request
from starlette.responses import Response

from angarium.api.body import parse_json
from angarium.api.query import QueryRoute
from angarium.core.errors import AngariumError, FieldError, Invalid, StoreUnavailable

_FAULT = "angarium.query"
log = structlog.get_logger(__name__)


class Unexpected(AngariumError):
    """Something went wrong on our side."""

    code = "internal_error"


def answering(answer: Callable[[AngariumError], Response]) -> type[QueryRoute]:
    """A route class that answers errors with `answer`."""

    class Route(QueryRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            inner = super().get_route_handler()

            async def handler(request: Request) -> Response:
                try:
                    return await inner(request)
                except StoreUnavailable:
                    return answer(StoreUnavailable())  # the detail names hosts and databases
                except AngariumError as error:
                    return answer(error)
                except Exception:
                    log.exception("api.failed", method=request.method, path=request.url.path)
                    return answer(Unexpected())

            return handler

        async def refuse(self, request: Request, error: Invalid) -> None:
            request.scope[_FAULT] = error

    return Route


def check_query(request: Request) -> None:
    """Call it after authentication. Raises Invalid for query parameters that the route does not accept."""
    if (error := request.scope.get(_FAULT)) is not None:
        raise error


async def json_object(request: Request) -> dict[str, Any]:
    """The body as a JSON object, regardless of Content-Type; an empty body is {}. Raises Invalid."""
    data = await request.body()
    value = parse_json(data) if data.strip() else {}
    if not isinstance(value, dict):
        raise Invalid(FieldError(("body",), "The body must be a JSON object."))
    return value
