"""Serves the portal's static files. Their paths change with the content, so browsers can keep them."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from angarium.core.errors import NotFound
from angarium.portal.theme import MAX_QUERY, Theme

_TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_FOREVER: Final = {"cache-control": "public, max-age=31536000, immutable"}
_SHORTLY: Final = {"cache-control": "public, max-age=300"}


@cache
def _files() -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in Path(__file__).parent.iterdir() if file.suffix in _TYPES}


@cache
def path_of(name: str) -> str:
    """The path of a file."""
    return f"/portal/static/{name}?v={hashlib.sha256(_files()[name]).hexdigest()[:12]}"


def theme_path(theme: Theme) -> str:
    """The path of the stylesheet of a theme."""
    return f"/portal/theme.css?{theme.written()}"


async def file(request: Request) -> Response:
    """Serves a file."""
    name = request.path_params["name"]
    content = _files().get(name)
    if content is None:
        raise NotFound()
    headers = _FOREVER if "v" in request.query_params else _SHORTLY
    return Response(content, media_type=_TYPES[Path(name).suffix], headers=headers)


async def theme(request: Request) -> Response:
    """The stylesheet of the theme that the query describes."""
    wanted = Theme.read(request.url.query[:MAX_QUERY])
    return Response(wanted.stylesheet(), media_type="text/css", headers=_FOREVER)


def routes() -> list[Route]:
    return [
        Route("/portal/static/{name}", file, methods=["GET"]),
        Route("/portal/theme.css", theme, methods=["GET"]),
    ]
