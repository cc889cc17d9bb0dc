"""The cookie of a portal session, and what keeps other sites from using it.

A page of another origin can make a browser send the cookie, but neither the header that we ask for beside
it (that takes a CORS preflight, which never allows credentials here) nor our own `Sec-Fetch-Site`.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from angarium.core.errors import NotAllowed, NotAuthenticated
from angarium.service.portal_link import Session

HEADER: Final = "x-angarium-portal"  # what our own page sends with every request
_NAME: Final = "angarium-session"
_SECURE_NAME: Final = "__Host-angarium-session"  # browsers accept it over https from this host alone


def base_url(request: Request) -> str:
    """How clients reach this server."""
    configured: str | None = request.app.state.base_url
    return configured or str(request.base_url).rstrip("/")


def token_of(request: Request) -> str:
    """The session that the request carries. Raises NotAuthenticated, or NotAllowed for another's page."""
    token = request.cookies.get(_name(request))
    if not token:
        raise NotAuthenticated()
    check_origin(request)
    return token


def check_origin(request: Request) -> None:
    """Raises NotAllowed unless the request comes from a page of ours."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    own = {urlsplit(base_url(request)).netloc, request.headers.get("host", "")}
    foreign = urlsplit(origin).netloc not in own if site is None and origin is not None else False
    if HEADER not in request.headers or site not in (None, "same-origin") or foreign:
        raise NotAllowed()


def keep(request: Request, response: Response, session: Session, now: float) -> None:
    """Have the browser keep the session until it ends."""
    response.set_cookie(
        _name(request),
        session.token,
        max_age=max(0, int(session.claims.expires_at - now)),
        path="/",
        secure=_is_secure(request),
        httponly=True,
        samesite="strict",
    )


def forget(request: Request, response: Response) -> None:
    """Have the browser forget the session."""
    response.delete_cookie(
        _name(request), path="/", secure=_is_secure(request), httponly=True, samesite="strict"
    )


def _is_secure(request: Request) -> bool:
    return base_url(request).startswith("https:")


def _name(request: Request) -> str:
    return _SECURE_NAME if _is_secure(request) else _NAME
