"""Renders templates and sets the headers of every page.

No page has inline scripts or styles, and none loads anything from other hosts, except the icon that an
operator's link may name. The Content Security Policy forbids everything else.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from angarium.portal import failure, static, words
from angarium.portal.theme import Theme

UNKEPT: Final = {"cache-control": "no-store"}


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("angarium.portal"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= words.FILTERS | failure.FILTERS
    environment.globals |= {"static": static.path_of, "stylesheet": static.theme_path}
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
