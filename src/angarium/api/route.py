"""Defines the route class of native routers: it reads bodies, writes answers, and repeats them.

`Idempotency-Key`: a repeated POST gets the first response, regardless of its body. Only 2xx responses are
stored. Message create stores its key in the intake statement and uses only `key_of` from this module.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from angarium import json_text
from angarium.api.answer import answering
from angarium.api.auth import Caller, caller_of, header_of, services_of
from angarium.api.body import parse_json
from angarium.api.query import QueryRoute
from angarium.core.errors import Invalid
from angarium.service.idempotency import StoredAnswer

API_PATH: Final = "/api/v1"
"""The path of the native API. The routers have it, so that a route knows its whole path (metrics, traces)."""
HEADER: Final = b"idempotency-key"


def key_of(request: Request) -> bytes | None:
    """32 bytes that stand for caller, key, method and path; None when the request carries no key."""
    key = header_of(request, HEADER)
    if not key:
        return None
    return digest_of(header_of(request, b"authorization"), key, request.method, request.scope["path"])


def digest_of(*parts: str) -> bytes:
    """32 bytes that stand for the parts: authorization, key, method and path."""
    # lengths keep the parts apart
    return hashlib.sha256("\n".join(f"{len(part)}:{part}" for part in parts).encode()).digest()


async def once(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
    """Answer the request, or repeat the answer to an earlier one with the same key."""
    key = key_of(request) if request.method == "POST" else None
    if key is None:
        return await answer(request)
    caller = await caller_of(request)  # unauthenticated requests must not fill the table
    idempotency = services_of(request).idempotency
    hold = await idempotency.begin(key)
    if isinstance(hold, StoredAnswer):
        return Response(hold.body, hold.status, media_type="application/json" if hold.body else None)
    try:
        response = await answer(request)
    except BaseException:
        await idempotency.abandon(hold)
        raise
    if 200 <= response.status_code < 300:
        body = bytes(response.body)
        await idempotency.finish(hold, response.status_code, body, _about(request, caller, body))
    else:
        await idempotency.abandon(hold)
    return response


def _about(request: Request, caller: Caller, body: bytes) -> tuple[str, str] | None:
    """The application that a response is about: the one in the path, or the one that was created."""
    ref = request.path_params.get("app_id")
    if ref is None and request.scope["path"].endswith("/app"):
        ref = json.loads(json_text.member(body.decode(), "id") or "null")
    return None if ref is None else (caller.org_id, ref)


class PublicRoute(QueryRoute):
    """Writes what the handler returns."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        answer = answering(endpoint, options.get("status_code"))
        super().__init__(path, answer, **{**options, "response_model": None})


class DirectRoute(QueryRoute):
    """Calls a handler that reads the request and writes the response itself (`described_by`)."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return handler


H = TypeVar("H", bound=Callable[..., Any])


def described_by(handler: H, takes: type, gives: type, *parts: type) -> H:
    """Notes the Structs of a handler's request and response, and what these refer to, for the document."""
    vars(handler).update(takes=takes, body_type=gives, parts=parts)
    return handler


class WireRoute(PublicRoute):
    """Parses the body before FastAPI does, so that Content-Type does not matter and limits hold."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        inner = super().get_route_handler()
        reads_body = self.body_field is not None

        async def parsed(request: Request) -> Response:
            if reads_body:
                await caller_of(request)  # bodies of unauthenticated requests are not read
                data = await request.body()
                if data.strip():
                    request._json = parse_json(data)
                    _declare_json(request)
            return await inner(request)

        async def handler(request: Request) -> Response:
            return await once(request, parsed)

        return handler

    async def refuse(self, request: Request, error: Invalid) -> None:
        await caller_of(request)
        raise error


def _declare_json(request: Request) -> None:
    headers = [(k, v) for k, v in request.scope["headers"] if k != b"content-type"]
    request.scope["headers"] = [*headers, (b"content-type", b"application/json")]
    request.__dict__.pop("_headers", None)
