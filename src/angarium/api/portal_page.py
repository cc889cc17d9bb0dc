"""The first page of the portal, and the session behind it: one application's endpoints and latest attempts.

A link leads to `/login` with a key in the fragment. The page shows the key to `/login/session` and gets a
cookie that no script can read; from then on it reads the API with that. It does not manage anything yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from angarium.api import session
from angarium.api.auth import caller_of, services_of
from angarium.api.body import parse_json
from angarium.api.static import asset
from angarium.core import ids
from angarium.core.errors import Invalid
from angarium.service.portal_link import PortalLink
from angarium.service.token import Claims

CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_UNKEPT: Final = {"cache-control": "no-store"}


def url_of(request: Request, link: PortalLink, theme: Mapping[str, str] | None = None) -> str:
    """The URL of a link: how it looks in the query, the key in the fragment, where it reaches no log."""
    query = f"?{urlencode(theme)}" if theme else ""
    return f"{session.base_url(request)}/login{query}#key={link.key}"


def install(app: FastAPI) -> None:
    """Serve it at `/login`, where Svix's links lead too."""

    async def page(_: Request) -> Response:
        response = asset("portal.html", "text/html")
        response.headers["content-security-policy"] = CSP
        response.headers["referrer-policy"] = "no-referrer"
        return response

    async def script(_: Request) -> Response:
        return asset("portal.js", "text/javascript")

    app.add_route("/login", page, methods=["GET"])
    app.add_route("/login/portal.js", script, methods=["GET"])
    app.add_route("/login/session", begin, methods=["POST"])
    app.add_route("/login/session", look, methods=["GET"])
    app.add_route("/login/session", end, methods=["DELETE"])


async def begin(request: Request) -> Response:
    """Exchange the key of a link for a session."""
    session.check_origin(request)
    body = parse_json(await request.body())
    key = body.get("key") if isinstance(body, dict) else None
    if not isinstance(key, str):
        raise Invalid.field("key", "The key of a portal link, a text.")
    services = services_of(request)
    made = await services.portal_link.open(key)
    response = await _described(request, made.claims)
    session.keep(request, response, made, services.clock.now())
    return response


async def look(request: Request) -> Response:
    """Whose session it is."""
    caller = await caller_of(request)
    return await _described(request, caller.claims)


async def end(request: Request) -> Response:
    """Log out: the session is refused from now on, on every server. The link stays good."""
    caller = await caller_of(request)
    await services_of(request).token.revoke(caller.claims)
    response = Response(status_code=204, headers=_UNKEPT)
    session.forget(request, response)
    return response


async def _described(request: Request, claims: Claims) -> Response:
    services = services_of(request)
    app_id = None if claims.app_id is None else ids.text(ids.APPLICATION, claims.app_id)
    described: dict[str, Any] = {"application": None, "capabilities": sorted(claims.capabilities)}
    if app_id is not None:
        application = await services.application.find(claims.org_id, app_id)
        described["application"] = {"id": app_id, "name": application.name}
        described["expiresAt"] = int(claims.expires_at)
    return JSONResponse(described, headers=_UNKEPT)
