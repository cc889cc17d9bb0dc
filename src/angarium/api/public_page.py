"""Serves public pages: the API reference, a page per product, their index, and source addresses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from html import escape
from typing import Final

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from angarium.api import document
from angarium.api.auth import services_of
from angarium.api.edge import TRAILING
from angarium.api.errors import UNSUPPORTED_PAGE, unsupported_operations
from angarium.api.static import REDOC, asset, redoc
from angarium.core.errors import NotFound
from angarium.core.product import STANDARD, Product
from angarium.profiles.index import index
from angarium.profiles.page import page

# Redoc has two inline styles: an empty element, which it fills with rules, and one for its scrollbar. Its
# search runs in a worker made from a blob. It needs no `eval`, and loads nothing but the document.
CSP: Final = (
    "default-src 'none'; script-src 'self'; worker-src blob:; connect-src 'self'; img-src data:; "
    "style-src 'self' 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' "
    "'sha256-QMIg+bpjm3JdElJ388KYke01izlUW0UoNOeKjpMxdgc='; base-uri 'none'; frame-ancestors 'none'"
)
_REDOC: Final = f"docs/redoc-{REDOC}.js"
# URLs are relative, so that the page works below any path of a proxy
_REFERENCE: Final = """<!doctype html>
<html lang=en>
<meta charset=utf-8>
<meta name=viewport content="width=device-width">
<title>{title}</title>
<link rel=stylesheet href="style.css">
<redoc spec-url="{document}" hide-download-button="true" required-props-first="true"
  json-sample-expand-level="4" expand-responses="200,201,202"></redoc>
<noscript><main><h1>{title}</h1>
<p>The <a href="{document}">OpenAPI document</a> has the details.</p>
{operations}
</main></noscript>
<script src="{script}"></script>
</html>
"""
_HEADERS: Final = {"cache-control": "max-age=300"}
_UNSUPPORTED: Final = """# Svix operations that Angarium does not support

They return 501 and the code `not_implemented`. A `*` stands for an id or a name. Angarium supports all other
operations of Svix's API.

"""


def install(app: FastAPI, path: str, egress: Sequence[str]) -> None:
    """Serve them. `path`: of the OpenAPI document. `egress`: networks, none when they are not fixed."""

    @cache
    def text() -> str:
        return json.dumps(document.described(app), ensure_ascii=False, separators=(",", ":"))

    @cache
    def reference() -> str:
        shown = document.described(app)
        return _REFERENCE.format(
            title=f"{escape(shown['info']['title'])} API",
            document=path.lstrip("/"),
            operations="\n".join(
                f"<p><code>{method.upper()} {escape(place)}</code> {escape(operation['summary'])}"
                for method, place, operation in document.operations(shown)
            ),
            script=_REDOC,
        )

    async def openapi(_: Request) -> Response:
        return Response(text(), media_type="application/json")

    async def docs(request: Request) -> Response:
        if slashes := request.scope.get(TRAILING, 0):  # its URLs would be relative to another path
            return RedirectResponse("../" * slashes + "docs", 307)
        return HTMLResponse(reference(), headers={"content-security-policy": CSP})

    async def script(request: Request) -> Response:
        return redoc(request)

    async def style(_: Request) -> Response:
        return asset("style.css", "text/css")

    async def root(_: Request) -> Response:
        return RedirectResponse("/docs", 307)

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

    async def unsupported(_: Request) -> Response:
        rows = (f"- `{one}`: {', '.join(methods)}\n" for one, methods in unsupported_operations().items())
        return Response(_UNSUPPORTED + "".join(rows), media_type="text/markdown")

    for place, answer in (
        (path, openapi),
        ("/docs", docs),
        (f"/{_REDOC}", script),
        ("/style.css", style),
        ("/", root),
        ("/llms.txt", llms),
        ("/docs/products/{name}.md", product),
        ("/.well-known/webhook-sources.json", sources),
        (UNSUPPORTED_PAGE, unsupported),
    ):
        app.add_route(place, answer, methods=["GET"])


def _products(request: Request) -> list[Product]:
    return [one for one in services_of(request).product.all.values() if one.name != STANDARD]
