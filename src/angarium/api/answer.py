"""Writes answers. A handler returns a Struct, which msgspec encodes and from which the document is made.

`Out` is the base of every response body. A payload in it is `msgspec.Raw`: it goes out byte for byte.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from types import NoneType, UnionType
from typing import Any, Final, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from starlette.responses import Response

NOT_STORED: Final = {"cache-control": "no-store"}

T = TypeVar("T")


class Out(msgspec.Struct, rename="camel", gc=False):
    """A response body. Fields that are `UNSET` are left out."""


@dataclass(frozen=True, slots=True)
class Reply(Generic[T]):
    """A body with a status other than the route's, or with headers."""

    body: T
    status: int | None = None
    headers: Mapping[str, str] | None = None


class JsonBytes(Response):
    """JSON that is bytes already, without Starlette's round through its headers."""

    def __init__(self, body: bytes, status: int) -> None:
        self.status_code = status
        self.background = None
        self.body = body
        self.raw_headers = [
            (b"content-length", str(len(body)).encode()),
            (b"content-type", b"application/json"),
        ]


def encoded(body: Out, status: int) -> JsonBytes:
    """The body as a response."""
    return JsonBytes(msgspec.json.encode(body), status)


def body_type(endpoint: Callable[..., Any]) -> Any:
    """The Struct that a handler returns; None if it writes its response itself or has no body."""
    returned = get_type_hints(endpoint, include_extras=True).get("return")
    if get_origin(returned) in (Union, UnionType):  # the first is that of the route's own status
        returned = get_args(returned)[0]
    if get_origin(returned) is Reply:
        returned = get_args(returned)[0]
    if returned in (None, NoneType) or (isinstance(returned, type) and issubclass(returned, Response)):
        return None
    return returned


def answering(
    endpoint: Callable[..., Awaitable[Any]], status: int | None
) -> Callable[..., Awaitable[Response]]:
    """The handler with what it returns made into a response; `status` is that of the route.

    Its attribute `body_type` is for the document.
    """

    @wraps(endpoint)
    async def answer(*args: Any, **values: Any) -> Response:
        returned = await endpoint(*args, **values)
        if isinstance(returned, Response):
            return returned
        if returned is None:
            return Response(status_code=status or 204)
        if not isinstance(returned, Reply):
            return encoded(returned, status or 200)
        response = encoded(returned.body, returned.status or status or 200)
        for name, value in (returned.headers or {}).items():
            response.headers[name] = value
        return response

    vars(answer)["body_type"] = body_type(endpoint)
    return answer
