"""Renders templates, sets the headers of every page, and serves static files.

No page has inline scripts or styles, and none loads anything from other hosts, except the icon that an
operator's link may name. The Content Security Policy forbids everything else.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any, Final

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from angarium.core.errors import NotFound
from angarium.core.nouns import AttemptStatus
from angarium.portal.kit import text, words
from angarium.portal.kit.theme import MAX_QUERY, Theme

UNKEPT: Final = {"cache-control": "no-store"}
_STATIC: Final = Path(__file__).parent.parent / "static"
_TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_FOREVER: Final = {"cache-control": "public, max-age=31536000, immutable"}
_SHORTLY: Final = {"cache-control": "public, max-age=300"}


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("angarium.portal"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= words.FILTERS
    environment.globals |= {
        "static": static_path,
        "stylesheet": theme_path,
        "t": text.t,
        "known": text.known,
        "language": text.language,
    }
    environment.tests["delivered"] = lambda attempt: attempt.status is AttemptStatus.SUCCESS
    return environment


def page(request: Request, template: str, theme: Theme, *, status: int = 200, **values: Any) -> Response:
    """A page or a part of one, rendered."""
    html = _environment().get_template(template).render(request=request, theme=theme, **values)
    return HTMLResponse(html, status, headers=UNKEPT | policy(request, theme))


def policy(request: Request, theme: Theme) -> dict[str, str]:
    """The security headers of a page."""
    frames = " ".join(request.app.state.frame_ancestors) or "'none'"
    if request.url.path.startswith("/admin"):
        frames = "'none'"  # the origins are for customers' portals
    return {
        "content-security-policy": (
            f"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' {theme.icon_origin}; "
            f"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors {frames}"
        ),
        "referrer-policy": "same-origin",
        "cross-origin-opener-policy": "same-origin",
    }


@cache
def _files() -> dict[str, bytes]:
    return {_file.name: _file.read_bytes() for _file in _STATIC.iterdir() if _file.suffix in _TYPES}


@cache
def static_path(name: str) -> str:
    """The path of a file."""
    return f"/portal/static/{name}?v={hashlib.sha256(_files()[name]).hexdigest()[:12]}"


def theme_path(_theme: Theme) -> str:
    """The path of the stylesheet of a theme."""
    return f"/portal/theme.css?{_theme.written()}"


async def _file(request: Request) -> Response:
    """Serves a file."""
    name = request.path_params["name"]
    content = _files().get(name)
    if content is None:
        raise NotFound()
    headers = _FOREVER if "v" in request.query_params else _SHORTLY
    return Response(content, media_type=_TYPES[Path(name).suffix], headers=headers)


async def _theme(request: Request) -> Response:
    """The stylesheet of the theme that the query describes."""
    wanted = Theme.read(request.url.query[:MAX_QUERY])
    return Response(wanted.stylesheet(), media_type="text/css", headers=_FOREVER)


def routes() -> list[Route]:
    return [
        Route("/portal/static/{name}", _file, methods=["GET"]),
        Route("/portal/theme.css", _theme, methods=["GET"]),
    ]
