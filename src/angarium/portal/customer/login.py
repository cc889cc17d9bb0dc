"""Logs customers in: `/login` exchanges the key in the fragment of a portal link for a session.

The key never reaches a log: browsers do not send fragments, and the page posts it once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from angarium import json_bounds
from angarium.core import ids
from angarium.core.claims import Capability
from angarium.core.errors import AngariumError, NotAuthenticated
from angarium.portal.kit import render, session
from angarium.portal.kit.form import Form
from angarium.portal.kit.route import action, error_words, retry_headers, route, status_of
from angarium.portal.kit.text import t
from angarium.portal.kit.theme import MAX_QUERY, Theme
from angarium.portal.kit.visit import THEME, Visit, services_of

MAX_BODY: Final = 16 * 1024
_NEXT: Final = re.compile(r"(/[A-Za-z0-9_.-]+)*/?(\?[A-Za-z0-9_.*=&%+:,-]*)?")


class _Shown(msgspec.Struct, frozen=True):
    """The body that the page posts."""

    key: str
    query: str = ""
    framed: bool = False


async def show(request: Request) -> Response:
    """The page that reads the key from the fragment."""
    return render.page(request, "customer/login.html", Theme.of(dict(request.query_params)))


async def begin(request: Request) -> Response:
    """Exchanges the key of a link for a session; returns the page to open."""
    try:
        session.check_origin(request)
        body = await request.body()
        if len(body) > MAX_BODY:
            raise NotAuthenticated()
        json_bounds.check(body)
        shown = msgspec.json.decode(body, type=_Shown)
        services = services_of(request)
        with services.login_throttle.watching("portal-link"):
            made = await services.portal_link.open(shown.key)
    except ValueError:  # not JSON, or beyond the limits
        return _refused(NotAuthenticated())
    except AngariumError as error:
        return _refused(error)
    assert made.claims.app_id is not None
    owner = ids.text(ids.APPLICATION, made.claims.app_id)
    query = dict(parse_qsl(shown.query[:MAX_QUERY].removeprefix("?")))
    answer = JSONResponse({"location": f"/portal/{owner}{destination(query)}"}, headers=render.UNKEPT)
    if shown.framed and request.app.state.frame_ancestors:
        request.scope["framed"] = True
    session.keep(request, answer, owner, made, services.clock.now())
    session.remember(request, answer, THEME, Theme.of(query).written())
    return answer


def destination(query: Mapping[str, str]) -> str:
    """The page below the portal that a link opens: its `next`, if that is only a path."""
    wanted = query.get("next", "")
    return wanted if _NEXT.fullmatch(wanted) and ".." not in wanted else ""


async def end(visit: Visit, _: Form) -> Response:
    """Logs out: every server refuses the session from now on. The link stays valid."""
    await visit.services.token.revoke(visit.claims)
    answer = visit.go("/admin" if visit.claims.operator else "/login?over=1")
    session.forget(visit.request, answer, ids.text(ids.APPLICATION, visit.app_id))
    return answer


def _refused(error: AngariumError) -> Response:
    status = status_of(error)
    words: dict[str, Any] = {"detail": error_words(error)}
    if status == 401:
        words["detail"] = t("login.refused")
    return JSONResponse(words, status, headers=render.UNKEPT | retry_headers(error))


def routes() -> list[Route]:
    return [
        route("/login", show, "GET"),
        route("/login/session", begin, "POST"),
        action("/logout", end, Capability.VIEW),
    ]
