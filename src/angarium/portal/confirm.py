"""The question before an action that reaches far: what will happen, how many it concerns, and a button.

An action that acts on many calls `question` first and does nothing as long as that gives a page. The page
posts the same form again, with the field that says yes. It works without scripts.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from starlette.requests import Request
from starlette.responses import Response

from angarium.portal.form import Form

YES: Final = "confirmed"


class Asking(Protocol):
    """A visit to the portal or to the operator's pages."""

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
    """The page that asks; None once the answer is yes. `happens` has the count, `back` is the way out."""
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
