"""Declares pages and actions of the portal, with their access checks and error pages.

A page needs a session for its application. An action is a posted form: it must come from a page of this
server and carry the CSRF token of the session, and the session must have the capability. Errors are rendered
as pages.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from angarium.core import errors
from angarium.core.claims import Capability
from angarium.core.errors import AngariumError, Invalid, NotAuthenticated
from angarium.portal.kit import render, session
from angarium.portal.kit.form import Form, read_form
from angarium.portal.kit.text import t
from angarium.portal.kit.visit import AnyVisit, theme_of, visit_of

log = structlog.get_logger(__name__)

V = TypeVar("V", bound=AnyVisit)
Handler = Callable[[Request], Awaitable[Response]]
_PAGES: Final[dict[type[AngariumError], tuple[int, str, str | None]]] = {
    errors.NotAuthenticated: (401, "error.unauthenticated", "error.unauthenticated_step"),
    errors.NotAllowed: (403, "error.not_allowed", None),
    errors.NotFound: (404, "error.not_found", "error.not_found_step"),
    errors.Conflict: (409, "error.conflict", None),
    errors.TooSlow: (408, "error.too_slow", "error.too_slow_step"),
    errors.BodyTooLarge: (413, "error.body_too_large", None),
    errors.Compressed: (415, "error.compressed", None),
    errors.Invalid: (422, "error.invalid", None),
    errors.BadRequest: (400, "error.bad_request", None),
    errors.TooManyFailures: (429, "error.too_many_failures", "error.too_many_failures_step"),
    errors.Overloaded: (503, "error.overloaded", "error.overloaded_step"),
    errors.StoreUnavailable: (503, "error.store_unavailable", "error.store_unavailable_step"),
}
_INTERNAL: Final = (500, "error.internal", "error.internal_step")
"""Status, and the ids of the title and of what to do; without the latter, the text of the error says it."""


class Pages(Generic[V]):
    """Declares the pages and actions below a path. `visit_of` raises NotAuthenticated without a session.

    `login_page` is the page that is shown then; without it, an error page.
    """

    def __init__(
        self,
        root: str,
        visit_of: Callable[[Request], Awaitable[V]],
        login_page: Callable[[Request], Response] | None = None,
    ) -> None:
        self._root = root
        self._visit_of = visit_of
        self._login_page = login_page

    def page(
        self, path: str, handler: Callable[[V], Awaitable[Response]], capability: Capability = Capability.VIEW
    ) -> Route:
        """A page; `path` is empty or starts with a slash."""

        async def answer(request: Request) -> Response:
            try:
                visit = await self._visit_of(request)
            except NotAuthenticated:
                if self._login_page is None:
                    raise
                return self._login_page(request)
            visit.require(capability)
            return await handler(visit)

        return route(f"{self._root}{path}", answer, "GET")

    def action(
        self,
        path: str,
        handler: Callable[[V, Form], Awaitable[Response]],
        capability: Capability = Capability.VIEW,
    ) -> Route:
        """An action of a form."""

        async def answer(request: Request) -> Response:
            visit = await self._visit_of(request)
            form = await _guarded(request, visit.csrf_token)
            visit.require(capability)
            return await handler(visit, form)

        return route(f"{self._root}{path}", answer, "POST")


_CUSTOMERS: Final = Pages("/portal/{app_id}", visit_of)
page = _CUSTOMERS.page
action = _CUSTOMERS.action


async def _guarded(request: Request, csrf_token: str) -> Form:
    """The posted form, after the checks against forgery. Raises NotAllowed."""
    session.check_origin(request)
    form = await read_form(request)
    session.check_csrf_token(csrf_token, form.text(session.CSRF_FIELD))
    return form


def route(path: str, handler: Handler, method: str) -> Route:
    """A route that renders errors as pages."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except AngariumError as error:
            return error_page(request, error)
        except ClientDisconnect:
            raise
        except Exception:
            log.exception("api.failed", method=request.method, path=path)
            return error_page(request, AngariumError())

    answer.__name__ = getattr(handler, "__name__", "page")
    return Route(path, answer, methods=[method])


def error_words(error: AngariumError) -> str:
    """The text of an error, for a form."""
    if isinstance(error, Invalid):
        return " ".join(fault.msg for fault in error.faults)
    _, _, step = _entry(error)
    return t(step) if step else error.detail


def error_page(request: Request, error: AngariumError) -> Response:
    """The page for an error."""
    status, title, _ = _entry(error)
    page = render.page(
        request, "kit/notice.html", theme_of(request), status=status, title=t(title), words=error_words(error)
    )
    page.headers.update(retry_headers(error))
    return page


def status_of(error: AngariumError) -> int:
    """The HTTP status of an error."""
    return _entry(error)[0]


def retry_headers(error: AngariumError) -> dict[str, str]:
    """The Retry-After header, for errors that a retry can solve."""
    if isinstance(error, errors.TooManyFailures):
        return {"retry-after": str(math.ceil(error.retry_after))}
    return {"retry-after": "2"} if status_of(error) == 503 else {}


def _entry(error: AngariumError) -> tuple[int, str, str | None]:
    return next((_PAGES[kind] for kind in type(error).__mro__ if kind in _PAGES), _INTERNAL)
