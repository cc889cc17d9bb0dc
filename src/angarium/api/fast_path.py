"""Handles the most frequent requests without the layers of FastAPI, which took a third of their CPU time.

- `FastPath`: the server calls it with a complete request before it creates a task. A message is accepted by
  the same rules and answered with the same bytes as in `native/message.py`, without a coroutine. Requests
  that need more (a token lookup, a new application, CORS) and invalid requests are left to the application,
  so callers cannot tell the two paths apart.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final

import structlog
from fastapi import FastAPI
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from angarium.api import errors
from angarium.api.answer import encoded
from angarium.api.auth import bearer_of
from angarium.api.native.message import MessageOut, accepted_as
from angarium.api.native.message_in import draft_of, read_message
from angarium.api.route import digest_of
from angarium.api.span import answered
from angarium.clock import steady
from angarium.core.errors import AngariumError
from angarium.core.event import NO_EVENTS, Events
from angarium.core.trace import NO_TRACER, Tracer
from angarium.service.intake import Draft, Result
from angarium.service.services import Services

log = structlog.get_logger(__name__)

_UNUSUAL: Final = frozenset([b"origin", b"content-encoding"])


class FastPath:
    """Takes what is plain.

    `prefix`: of the API's paths; `body_limit` in bytes; `headers` are added to every response.
    """

    def __init__(
        self,
        services: Services,
        prefix: str,
        body_limit: int,
        headers: Sequence[tuple[bytes, bytes]] = (),
        events: Events = NO_EVENTS,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._events: Final = events
        self._tracer: Final = tracer
        self._route: Final = f"{prefix}/app/{{app_id}}/msg"
        self.headers: Final = tuple(headers)
        self._services: Final = services
        self._body_limit: Final = body_limit
        self._path: Final = re.compile(
            rb"(%b/app/([A-Za-z0-9._-]{1,256})/msg)(?:\?with_content=(?:true|(false)))?" % prefix.encode()
        )

    def take(
        self,
        url: bytes,
        headers: Iterable[tuple[bytes, bytes]],
        body: bytes,
        answer: Callable[[Response], None],
    ) -> bool:
        """Accept a POST; `answer` is called once, later. False: the application is to answer it.

        `headers`: their names in lower case.
        """
        place = self._path.fullmatch(url)
        if place is None or len(body) > self._body_limit:
            return False
        authorization = idempotency_key = None
        for name, value in headers:
            if name == b"authorization":
                if authorization is not None:
                    return False
                authorization = str(value, "latin-1")
            elif name == b"idempotency-key":
                if idempotency_key is not None:
                    return False
                idempotency_key = str(value, "latin-1")
            elif name in _UNUSUAL:
                return False
        if authorization is None:
            return False
        services = self._services
        claims = services.token.at_once(bearer_of(authorization))
        if claims is None:
            return False
        path, app, hidden = place.groups()
        key = None
        if idempotency_key:
            key = digest_of(authorization, idempotency_key, "POST", path.decode())
        try:
            message = read_message(body)
            if message.creates_application:
                return False
            now = services.clock.now()
            draft = draft_of(message, org_id=claims.org_id, app=app.decode(), now=now, key=key)
            with_content = hidden is None
            begun = steady()
            span = self._tracer.request(headers) if self._tracer.on else None

            def done(result: Result) -> None:
                response = _response(result, draft, with_content)
                answer(response)
                self._events.answered(self._route, "POST", response.status_code, steady() - begun)
                if span is not None:
                    answered(self._tracer, span, self._route, "POST", response.status_code)

            return services.intake.put(draft, done, span)
        except Exception:
            # nothing was accepted: the application handles the request again and reports the error
            return False


def _response(result: Result, draft: Draft, with_content: bool) -> Response:
    if isinstance(result, AngariumError):
        return errors.answer(result)
    try:
        return encoded(accepted_as(MessageOut, result, draft, with_content=with_content), 202)
    except Exception:
        log.exception("api.failed", method="POST", path="msg")
        return JSONResponse(errors.INTERNAL, 500)


Handler = Callable[[Request], Awaitable[Response]]


class FastRoute:
    """Handles POST requests to `{prefix}{app_id}{tail}`, and passes all others on to the application."""

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
                    scope["route_path"] = f"{self._prefix}{{app_id}}/{tail}"
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
