"""The page behind an app-portal link: one application's endpoints and latest attempts.

A small page that reads the API with the link's token; it does not manage anything yet.
"""

from __future__ import annotations

from typing import Final

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from angarium.api.static import asset

CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


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
