"""How pages and actions are declared, and what every one of them does first and last.

A page may be read by whoever has a session for its application. An action is a form that was posted: it
must come from a page of ours and carry its mark, and the session must have the capability. Errors become
pages that say what to do.
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
    """A page below `/portal/{app_id}`; `path` is empty or begins with a slash."""

    async def answer(request: Request) -> Response:
        visit = await visit_of(request)
        visit.require(capability)
        return await handler(visit)

    return route(f"/portal/{{app_id}}{path}", answer, "GET")


def action(path: str, handler: Action, capability: Capability) -> Route:
    """Something that a form does, below `/portal/{app_id}`."""

    async def answer(request: Request) -> Response:
        visit = await visit_of(request)
        form = await guarded(request, visit.mark)
        visit.require(capability)
        return await handler(visit, form)

    return route(f"/portal/{{app_id}}{path}", answer, "POST")


async def guarded(request: Request, mark: str) -> Form:
    """The posted form, when it is one of ours. Raises NotAllowed."""
    session.check_origin(request)
    form = await read_form(request)
    session.check_mark(mark, form.text("mark"))
    return form


def route(path: str, handler: Handler, method: str) -> Route:
    """A route whose errors are pages."""

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
