"""Assembles the HTTP application: the native API, products' APIs, their documents, and the edge."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fastapi import FastAPI
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

from angarium import __version__
from angarium.api import dialects, errors, public_page
from angarium.api.edge import METHODS, Edge, safe_headers
from angarium.api.fast_path import FastPath, FastRoute
from angarium.api.native import ROUTES, message
from angarium.api.route import API_PATH
from angarium.core.event import NO_EVENTS, Events
from angarium.core.trace import NO_TRACER, Tracer
from angarium.service.services import Services

BODY_LIMIT = 2 * 1024 * 1024


def create_app(
    services: Services,
    *,
    body_limit: int = BODY_LIMIT,
    base_url: str | None = None,
    sandbox: bool = False,
    egress: Sequence[str] = (),
    pages: Sequence[BaseRoute] = (),
    frame_ancestors: Sequence[str] = (),
    stopping: asyncio.Event | None = None,
    events: Events = NO_EVENTS,
    tracer: Tracer = NO_TRACER,
) -> Edge:
    """The ASGI application. `base_url`: how clients reach this server; None takes it from the request.

    `sandbox` also serves the scenarios of products, which create messages as the real product would.
    `egress`: the source addresses of requests to endpoints.
    `pages`: routes of the portal; `frame_ancestors`: the origins that may embed them in a frame.
    `stopping` is set when the server stops; long responses end then.
    """
    app = FastAPI(
        title="Angarium",
        summary="A webhook sending service: signed, retried, fair to every endpoint.",
        version=__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        servers=None if base_url is None else [{"url": base_url}],
    )
    app.state.services = services
    app.state.base_url = None if base_url is None else base_url.rstrip("/")
    app.state.frame_ancestors = tuple(frame_ancestors)
    app.state.stopping = stopping or asyncio.Event()
    app.router.routes.extend(ROUTES)
    dialects.install(app, services, sandbox=sandbox)
    public_page.install(app, f"{API_PATH}/openapi.json", egress)
    app.router.routes.extend(pages)
    errors.install(app)
    fast_route = FastRoute(app, f"{API_PATH}/app/", message.HANDLERS)
    headers = safe_headers(base_url)
    fast_path = FastPath(services, API_PATH, body_limit, headers, events, tracer)

    def methods(scope: Scope) -> list[str]:
        return [
            method
            for method in METHODS
            if any(one.matches({**scope, "method": method})[0] is Match.FULL for one in app.router.routes)
        ]

    paths = {one.endpoint: one.path for one in app.router.routes if type(one) is Route}
    return Edge(fast_route, body_limit, fast_path, headers, methods, paths, events, tracer)
