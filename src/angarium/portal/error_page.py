"""Renders errors as pages, without internal details."""

from __future__ import annotations

import math

from starlette.requests import Request
from starlette.responses import Response

from angarium.core import errors
from angarium.core.errors import AngariumError, Invalid
from angarium.portal import render
from angarium.portal.visit import theme_of

_PAGES: dict[type[AngariumError], tuple[int, str, str | None]] = {
    errors.NotAuthenticated: (
        401,
        "Your session has ended",
        "Open your link again. If it no longer works, ask for a new one.",
    ),
    errors.NotAllowed: (403, "Not allowed", None),
    errors.NotFound: (404, "Page not found", "It may have been deleted, or the address is wrong."),
    errors.Conflict: (409, "Conflict", None),
    errors.TooSlow: (408, "The request took too long", "Try again."),
    errors.BodyTooLarge: (413, "Request too large", None),
    errors.Compressed: (415, "Compressed requests are not supported", None),
    errors.Invalid: (422, "Invalid input", None),
    errors.BadRequest: (400, "Invalid request", None),
    errors.TooManyFailures: (429, "Too many attempts", "Wait a minute and try again."),
    errors.Overloaded: (503, "The server is busy", "Try again in a moment."),
    errors.StoreUnavailable: (503, "The database is not available", "Try again in a moment."),
}
_INTERNAL = (500, "Something went wrong on our side", "Try again in a moment.")


def words_of(error: AngariumError) -> str:
    """The text of an error, for a form."""
    if isinstance(error, Invalid):
        return " ".join(fault.msg for fault in error.faults)
    _, _, fixed = _entry(error)
    return fixed or error.detail


def of(request: Request, error: AngariumError) -> Response:
    """The page for an error."""
    status, title, _ = _entry(error)
    page = render.page(
        request, "error.html", theme_of(request), status=status, title=title, words=words_of(error)
    )
    page.headers.update(again(error))
    return page


def status_of(error: AngariumError) -> int:
    """The HTTP status of an error."""
    return _entry(error)[0]


def again(error: AngariumError) -> dict[str, str]:
    """The Retry-After header, for errors that a retry can solve."""
    if isinstance(error, errors.TooManyFailures):
        return {"retry-after": str(math.ceil(error.retry_after))}
    return {"retry-after": "2"} if status_of(error) == 503 else {}


def _entry(error: AngariumError) -> tuple[int, str, str | None]:
    return next((_PAGES[kind] for kind in type(error).__mro__ if kind in _PAGES), _INTERNAL)
