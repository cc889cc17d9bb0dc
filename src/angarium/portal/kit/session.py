"""Session cookies, and their protection against cross-site request forgery.

Each application has a separate cookie, so one browser can have the portals of several customers open. Scripts
cannot read it. A page of another origin can make a browser send it, but it does not know the CSRF token
in our forms, which is derived from the cookie, and it cannot hide its origin.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from angarium.core.errors import NotAllowed, NotAuthenticated
from angarium.portal.kit.text import t
from angarium.service.login import Session

CSRF_FIELD: Final = "csrf_token"
_NAME: Final = "angarium-"
_SECURE_NAME: Final = "__Host-angarium-"  # browsers accept it only over https and from this host


def base_url(request: Request) -> str:
    """The URL at which browsers reach this server."""
    configured: str | None = request.app.state.base_url
    return configured or str(request.base_url).rstrip("/")


def is_secure(request: Request) -> bool:
    """Whether the browser uses https: by the public URL, the connection, or the header of a proxy.

    The header is not trusted: a forged one only makes the forger's own cookie stricter.
    """
    said = request.headers.get("x-forwarded-proto", "").split(",")[0].strip().lower()
    return base_url(request).startswith("https:") or (request.app.state.base_url is None and said == "https")


def token_of(request: Request, owner: str) -> str:
    """The session token for an owner: an application's id, or `operator`.

    Raises NotAuthenticated.
    """
    token = request.cookies.get(_name(request, owner))
    if not token:
        raise NotAuthenticated()
    return token


def csrf_token_of(token: str) -> str:
    """The value that a form must carry in addition to the cookie."""
    return hmac.new(token.encode(), b"form", hashlib.sha256).hexdigest()[:32]


def check_csrf_token(expected: str, shown: str) -> None:
    """Raises NotAllowed if a form was rendered for another session."""
    if not hmac.compare_digest(expected.encode(), shown.encode()):
        raise NotAllowed(t("error.session"))


def check_origin(request: Request) -> None:
    """Raises NotAllowed if the request comes from a page of another site."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    own = {urlsplit(base_url(request)).netloc, request.headers.get("host", "")}
    foreign = site is None and origin is not None and urlsplit(origin).netloc not in own
    if foreign or site not in (None, "same-origin", "none"):
        raise NotAllowed()


def keep(request: Request, response: Response, owner: str, session: Session, now: float) -> None:
    """Sets the cookie of a session until the session ends."""
    max_age = max(0, int(session.claims.expires_at - now))
    _set(request, response, _name(request, owner), session.token, max_age)


def forget(request: Request, response: Response, owner: str) -> None:
    """Deletes the cookie of a session."""
    _set(request, response, _name(request, owner), "", 0)


def remember(request: Request, response: Response, name: str, value: str) -> None:
    """Sets a cookie until the browser is closed."""
    _set(request, response, name, value, None)


def _set(request: Request, response: Response, name: str, value: str, max_age: int | None) -> None:
    # A frame on another site gets its cookies back only with SameSite=None, which needs Secure, and
    # Partitioned keeps them to that site. The CSRF token and the origin check protect the forms either way.
    framed = request.headers.get("sec-fetch-dest") == "iframe" or "framed" in request.scope
    secure = framed or is_secure(request)
    parts = [f"{name}={value}", "Path=/", "HttpOnly"]
    if max_age is not None:
        parts.append(f"Max-Age={max_age}")
    parts += ["SameSite=None", "Partitioned"] if framed else ["SameSite=Lax"]
    if secure:
        parts.append("Secure")
    response.headers.append("set-cookie", "; ".join(parts))


def _name(request: Request, owner: str) -> str:
    return (_SECURE_NAME if is_secure(request) else _NAME) + owner
