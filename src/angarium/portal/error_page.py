"""Errors as pages: what went wrong and what to do, never what is inside."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from angarium.core import errors
from angarium.core.errors import AngariumError, Invalid
from angarium.portal import render
from angarium.portal.visit import theme_of

_PAGES: dict[type[AngariumError], tuple[int, str, str | None]] = {
    errors.NotAuthenticated: (
        401,
        "Your session is over",
        "Open the link that you were given once more. If it does not open any longer, ask for a new one.",
    ),
    errors.NotAllowed: (403, "This is not allowed", None),
    errors.NotFound: (404, "There is nothing here", "It may have been deleted, or the address is not right."),
    errors.Conflict: (409, "Something else is there already", None),
    errors.TooLarge: (413, "This is too large", None),
    errors.Invalid: (422, "Something is not right", None),
    errors.BadRequest: (400, "This cannot be done", None),
    errors.Overloaded: (503, "Too much is going on", "Try again in a moment."),
    errors.StoreUnavailable: (503, "The database does not answer", "Try again in a moment."),
}
_INTERNAL = (500, "Something went wrong on our side", "Try again in a moment.")


def words_of(error: AngariumError) -> str:
    """What an error says to whoever filled in a form."""
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
    if status == 503:
        page.headers["retry-after"] = "2"
    return page


def _entry(error: AngariumError) -> tuple[int, str, str | None]:
    return next((_PAGES[kind] for kind in type(error).__mro__ if kind in _PAGES), _INTERNAL)
