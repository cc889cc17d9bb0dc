"""Declares pages and actions of the portal, with their access checks and error pages.

A page needs a session for its application. An action is a posted form: it must come from a page of this
server and carry the mark of the session, and the session must have the capability. Errors are rendered as
pages.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from angarium.core.claims import Capability
from angarium.core.errors import AngariumError
from angarium.portal import error_page, session
from angarium.portal.form import Form, read_form
from angarium.portal.visit import Visit, visit_of

log = structlog.get_logger(__name__)

Page = Callable[[Visit], Awaitable[Response]]
Action = Callable[[Visit, Form], Awaitable[Response]]
Handler = Callable[[Request], Awaitable[Response]]


def page(path: str, handler: Page, capability: Capability = Capability.VIEW) -> Route:
    """A page below `/portal/{app_id}`; `path` is empty or starts with a slash."""

    async def answer(request: Request) -> Response:
        visit = await visit_of(request)
        visit.require(capability)
        return await handler(visit)

    return route(f"/portal/{{app_id}}{path}", answer, "GET")


def action(path: str, handler: Action, capability: Capability) -> Route:
    """An action of a form below `/portal/{app_id}`."""

    async def answer(request: Request) -> Response:
        visit = await visit_of(request)
        form = await guarded(request, visit.mark)
        visit.require(capability)
        return await handler(visit, form)

    return route(f"/portal/{{app_id}}{path}", answer, "POST")


async def guarded(request: Request, mark: str) -> Form:
    """The posted form, after the checks against forgery. Raises NotAllowed."""
    session.check_origin(request)
    form = await read_form(request)
    session.check_mark(mark, form.text("mark"))
    return form


def route(path: str, handler: Handler, method: str) -> Route:
    """A route that renders errors as pages."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except AngariumError as error:
            return error_page.of(request, error)
        except ClientDisconnect:
            raise
        except Exception:
            log.exception("api.failed", method=request.method, path=path)
            return error_page.of(request, AngariumError())

    answer.__name__ = getattr(handler, "__name__", "page")
    return Route(path, answer, methods=[method])
