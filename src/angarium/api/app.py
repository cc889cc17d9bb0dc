"""The application that answers HTTP: the native API, its documents, and the edge around them."""

from __future__ import annotations

import importlib

from fastapi import APIRouter, FastAPI

from angarium import __version__
from angarium.api import document, errors
from angarium.api.edge import Edge
from angarium.api.native import application, auth, endpoint, event_type, health
from angarium.service.services import Services

PREFIX = "/api/v1"
BODY_LIMIT = 2 * 1024 * 1024


def create_app(services: Services, *, body_limit: int = BODY_LIMIT, base_url: str | None = None) -> FastAPI:
    """The ASGI application. `base_url`: how browsers reach this server; None takes it from the request."""
    app = FastAPI(
        title="Angarium",
        version=__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = services
    app.state.base_url = None if base_url is None else base_url.rstrip("/")
    for router in (application.router, auth.router, endpoint.router, event_type.router, health.router):
        app.include_router(router, prefix=PREFIX)
    for name in ("message", "attempt"):
        _include_when_there(app, name)
    document.install(app)
    errors.install(app)
    app.add_middleware(Edge, body_limit=body_limit)
    return app


def _include_when_there(app: FastAPI, name: str) -> None:
    try:
        module = importlib.import_module(f"angarium.api.native.{name}")
    except ModuleNotFoundError:
        return
    router: APIRouter = module.router
    app.include_router(router, prefix=PREFIX)
