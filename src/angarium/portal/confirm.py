"""Confirmation page of actions with many effects: what will happen, to how many, and a button.

Such an action first calls `question`, and returns its page if there is one. The page posts the same form
again with a field that confirms. It works without scripts.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from starlette.requests import Request
from starlette.responses import Response

from angarium.portal.form import Form

YES: Final = "confirmed"


class Asking(Protocol):
    """A visit to the customer or operator pages."""

    @property
    def request(self) -> Request: ...
    def render(self, template: str, *, status: int = 200, **values: Any) -> Response: ...


def question(
    visit: Asking,
    form: Form,
    *,
    heading: str,
    happens: str,
    button: str,
    back: str,
    section: str,
    layout: str = "portal.html",
) -> Response | None:
    """The confirmation page; None once confirmed. `happens` states the count, `back` is the cancel link."""
    if form.text(YES):
        return None
    return visit.render(
        "confirm.html",
        layout=layout,
        section=section,
        heading=heading,
        happens=happens,
        button=button,
        back=back,
        here=visit.request.url.path,
        fields=[(name, value) for name, value in form.pairs if name not in ("mark", YES)],
    )


def counted(number: int, one: str, many: str, *, exact: bool = True) -> str:
    """`1 message`, `12 messages`, `more than 1,000 messages`."""
    return f"{'' if exact else 'more than '}{number:,} {one if number == 1 and exact else many}"
