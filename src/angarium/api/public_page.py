"""Serves public pages: one per product, their index `llms.txt`, and the source addresses of requests."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from angarium.api.auth import services_of
from angarium.core.errors import NotFound
from angarium.core.product import STANDARD, Product
from angarium.profiles.index import index
from angarium.profiles.page import page

_HEADERS = {"cache-control": "max-age=300"}


def install(app: FastAPI, egress: Sequence[str]) -> None:
    """Serve them. `egress`: networks, none when they are not fixed."""

    async def llms(request: Request) -> Response:
        return Response(index(_products(request)), media_type="text/plain", headers=_HEADERS)

    async def product(request: Request) -> Response:
        name = request.path_params["name"]
        found = next((one for one in _products(request) if one.name == name), None)
        if found is None:
            raise NotFound()
        return Response(page(found), media_type="text/markdown", headers=_HEADERS)

    async def sources(_: Request) -> Response:
        if not egress:
            raise NotFound("This server does not publish its source addresses.")
        return JSONResponse({"addresses": list(egress)}, headers=_HEADERS)

    app.add_route("/llms.txt", llms, methods=["GET"])
    app.add_route("/docs/products/{name}.md", product, methods=["GET"])
    app.add_route("/.well-known/webhook-sources.json", sources, methods=["GET"])


def _products(request: Request) -> list[Product]:
    return [one for one in services_of(request).product.all.values() if one.name != STANDARD]
