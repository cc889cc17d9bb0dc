"""Processes every request first: client address, path, method, CORS, security headers and body limits.

It is one plain ASGI class, because every layer costs time on the intake route.

- Leading and trailing slashes of a path are ignored, as by Svix's server: `//app/` is `/app`.
- HEAD is answered as GET, without the body. OPTIONS is answered here, with the methods of the path.
- A Play inbox accepts every method and every body unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from angarium.api.fast_path import FastPath
from angarium.api.span import answered
from angarium.api.upload import Budget, Upload
from angarium.clock import steady
from angarium.core.errors import Compressed, Overloaded
from angarium.core.event import NO_EVENTS, Events
from angarium.core.inbox import PATH as INBOX
from angarium.core.trace import NO_TRACER, Tracer
from angarium.service import audit, trace

Headers = list[tuple[bytes, bytes]]

TRAILING: Final = "angarium.trailing"
"""The key of a scope under which it says how many slashes were removed from the end of the path."""
METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
_ORIGIN: Final = b"origin"
_EXPOSED: Final[Headers] = [(b"access-control-allow-origin", b"*"), (b"vary", b"origin")]
_YEAR: Final = 365 * 86400


def safe_headers(base_url: str | None) -> Headers:
    """The security headers of every response: nosniff and Strict-Transport-Security.

    Browsers honor Strict-Transport-Security over https only (RFC 6797 section 8.1). It is omitted only if the
    public URL is http: the server cannot see whether a proxy terminates TLS.
    """
    headers = [(b"x-content-type-options", b"nosniff")]
    if base_url is None or not base_url.startswith("http:"):
        headers.append((b"strict-transport-security", b"max-age=%d" % _YEAR))
    return headers


class Edge:
    """Wraps the application.

    `body_limit` in bytes. `fast_path`: a server may offer it requests first. `headers` are added to every
    response. `methods` says which methods the path of a scope has. `pages`: the paths of the handlers of
    plain routes, which are not in the scope.
    """

    def __init__(
        self,
        app: ASGIApp,
        body_limit: int,
        fast_path: FastPath,
        headers: Headers,
        methods: Callable[[Scope], list[str]],
        pages: Mapping[Any, str],
        events: Events = NO_EVENTS,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._events = events
        self._tracer = tracer
        self.fast_path: Final = fast_path
        self.budget: Final = Budget()
        self._app = app
        self._body_limit = body_limit
        self._headers = headers
        self._methods = methods
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        client = scope.get("client")
        audit.arrived(client[0] if client else None)
        path: str = scope["path"]
        if path.endswith("/") or path.startswith("//"):
            scope[TRAILING] = len(path) - len(path.rstrip("/"))
            path = scope["path"] = "/" + path.strip("/")
            scope["raw_path"] = b"/" + scope.get("raw_path", b"").strip(b"/")
        headers = dict(scope["headers"])
        is_inbox = path.startswith(INBOX)
        more = [*self._headers, *_EXPOSED] if _ORIGIN in headers else self._headers
        if not is_inbox:
            if scope["method"] == "OPTIONS" and (allowed := self._allowed(scope, headers)) is not None:
                await _answer_options([*self._headers, *_EXPOSED, *allowed], send)
                return
            if scope["method"] == "HEAD":
                scope, send = {**scope, "method": "GET"}, _without_body(send)
        upload = Upload(self.budget, self._body_limit, headers, receive, raw=is_inbox)
        begun, status, span = steady(), 0, None
        if self._tracer.on:
            span = self._tracer.request(scope["headers"])
            trace.began(span)

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = [*message.get("headers", ()), *more]
                if isinstance(upload.fault, Compressed):
                    own.append((b"accept-encoding", b"identity"))
                message = {**message, "headers": own}
            await send(message)

        try:
            await self._app(scope, upload.receive, answer)
        except ClientDisconnect:
            return  # the client has disconnected
        finally:
            upload.end()
            if isinstance(upload.fault, Overloaded):
                self._events.turned_away("bodies", 1)
            if status:
                self._events.answered(self._route_of(scope), _method_of(scope), status, steady() - begun)
            if span is not None:
                answered(self._tracer, span, self._route_of(scope), _method_of(scope), status)

    def _route_of(self, scope: Scope) -> str:
        """The template of the path: values of a label must be few."""
        if (route := scope.get("route")) is not None:
            path: str = route.path
            return path
        return scope.get("route_path") or self._pages.get(scope.get("endpoint"), "none")

    def _allowed(self, scope: Scope, headers: dict[bytes, bytes]) -> Headers | None:
        """The headers of a response to OPTIONS; None if the path has no methods."""
        wanted = headers.get(b"access-control-request-method")
        methods = self._methods(scope)
        if not methods and (wanted is None or _ORIGIN not in headers):
            return None
        allowed: Headers = [(b"allow", ", ".join(methods).encode())] if methods else []
        allowed += [
            (b"access-control-allow-methods", wanted or ", ".join(methods).encode()),
            (b"access-control-max-age", b"600"),
        ]
        if (asked := headers.get(b"access-control-request-headers")) is not None:
            allowed.append((b"access-control-allow-headers", asked))
        return allowed


def _method_of(scope: Scope) -> str:
    method: str = scope["method"]
    return method if method in METHODS else "other"


def _without_body(send: Send) -> Send:
    """Send only the head of the response; long responses then see a disconnected client and end."""

    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b""})

    return answer


async def _answer_options(headers: Headers, send: Send) -> None:
    start: dict[str, Any] = {"type": "http.response.start", "status": 200}
    await send({**start, "headers": [*headers, (b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})
