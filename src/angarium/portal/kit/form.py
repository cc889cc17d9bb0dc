"""Reads posted forms within limits."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request

from angarium.core.errors import BadRequest
from angarium.portal.kit.text import t

MAX_FIELDS: Final = 1500  # an endpoint may have a thousand event types


class Form:
    """A posted form. Missing fields are empty."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._pairs = pairs

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """All fields in the order received."""
        return list(self._pairs)

    def text(self, name: str) -> str:
        """The last value of a field, without white space around it."""
        return next((value.strip() for key, value in reversed(self._pairs) if key == name), "")

    def raw(self, name: str) -> str:
        """The last value of a field, unstripped, with line ends as `\\n`."""
        found = next((value for key, value in reversed(self._pairs) if key == name), "")
        return found.replace("\r\n", "\n")

    def all(self, name: str) -> list[str]:
        """All values of a field that are not empty."""
        return [value.strip() for key, value in self._pairs if key == name and value.strip()]

    def has(self, name: str) -> bool:
        """Whether a checkbox was ticked or a button pressed."""
        return any(key == name for key, _ in self._pairs)


async def read_form(request: Request) -> Form:
    """The form in a request's body. Raises BadRequest; its size is limited at the edge."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise BadRequest(t("error.form_type"))
    try:
        text = (await request.body()).decode()
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError:
        raise BadRequest(t("error.form_invalid")) from None
    if any("\x00" in value for _, value in pairs):
        raise BadRequest(t("error.form_nul"))
    return Form(pairs)
