"""Reads the query string by the same rules on every route of the API.

Unknown parameters, repeated parameters that have one value, and NUL characters are refused by name. An empty
value counts as missing. Flags are `true` or `false`, numbers are digits, and `core/timestamp.py` reads times.

The known parameters of a route are those that FastAPI knows and those in its `openapi_extra` (`takes`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query
from fastapi.routing import APIRoute
from pydantic import BeforeValidator
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from angarium.core import timestamp
from angarium.core.errors import FieldError, Invalid

IGNORED: Final[frozenset[str]] = frozenset()
"""Parameters that Svix's clients send and that have no effect here. There is none."""

ANY: Final = "*"
_LISTED: Final = re.compile(r"(.+?)\[\d{0,6}\]")
_NUMBER: Final = re.compile(r"\d{1,18}", re.ASCII)
_SHOWN: Final = 64  # characters of a name that an error repeats


def read_flag(raw: str) -> bool:
    """Raises ValueError."""
    if raw not in ("true", "false"):
        raise ValueError("must be true or false")
    return raw == "true"


def read_number(raw: str) -> int:
    """Raises ValueError."""
    if _NUMBER.fullmatch(raw) is None:
        raise ValueError("must be a whole number")
    return int(raw)


def _of_text(read: Callable[[str], Any]) -> BeforeValidator:
    """Defaults that are no text pass as they are."""
    return BeforeValidator(lambda value: read(value) if isinstance(value, str) else value)


QueryFlag = Annotated[bool, _of_text(read_flag)]
QueryNumber = Annotated[int, _of_text(read_number)]
QueryMoment = Annotated[datetime, _of_text(timestamp.parse_query)]


@dataclass(frozen=True, slots=True)
class Parameters:
    """What the query of a route may have: names with one value, and names with any number of values."""

    single: frozenset[str]
    many: frozenset[str] = frozenset()

    @classmethod
    def of(cls, route: APIRoute) -> Parameters:
        fields = [one for one in get_flat_params(route.dependant) if isinstance(one.field_info, Query)]
        described = [one for one in (route.openapi_extra or {}).get("parameters", ()) if one["in"] == "query"]
        many = {field.alias for field in fields if _is_list(field.field_info.annotation)}
        many |= {one["name"] for one in described if one["schema"].get("type") == "array"}
        return cls(
            frozenset({field.alias for field in fields} | {one["name"] for one in described}) - many,
            frozenset(many),
        )

    def read(self, request: Request) -> None:
        """Check the query, and leave in the request what is given. Raises Invalid."""
        if ANY in self.single:
            return
        kept: list[tuple[str, str]] = []
        faults: dict[str, FieldError] = {}

        def refuse(name: str, words: str) -> None:
            shown = "".join(c if c.isprintable() else "?" for c in name[:_SHOWN])
            faults.setdefault(name, FieldError(("query", shown), words))

        seen: set[str] = set()
        for name, value in request.query_params.multi_items():
            listed = _LISTED.fullmatch(name)
            plain = listed[1] if listed is not None and listed[1] in self.many else name
            if plain in IGNORED:
                continue
            if plain not in self.single and plain not in self.many:
                refuse(name, self._unknown())
            elif plain in self.single and plain in seen:
                refuse(name, "is given more than once")
            elif "\x00" in value:
                refuse(name, "must not contain NUL characters")
            elif value:
                kept.append((plain, value))
            seen.add(plain)
        if faults:
            raise Invalid(*faults.values())
        request._query_params = QueryParams(kept)

    def _unknown(self) -> str:
        known = ", ".join(sorted(self.single | self.many))
        return f"is not a parameter of this operation, which takes {known or 'none'}"


class QueryRoute(APIRoute):
    """A route that reads its query by these rules before anything else."""

    parameters: Parameters

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        inner = super().get_route_handler()
        self.parameters = Parameters.of(self)  # made here, as FastAPI asks for the handler in its constructor

        async def handler(request: Request) -> Response:
            if request.scope["query_string"]:
                try:
                    self.parameters.read(request)
                except Invalid as error:
                    await self.refuse(request, error)
            return await inner(request)

        return handler

    async def refuse(self, request: Request, error: Invalid) -> None:
        """Raises the error, where strangers are refused first only once the caller is known."""
        raise error


def takes(*names: str) -> dict[str, Any]:
    """Parameters as `openapi_extra`, for a route that is in no document. `ANY`: whatever there is."""
    return {"parameters": [{"name": name, "in": "query", "schema": {"type": "string"}} for name in names]}


def _is_list(annotation: Any) -> bool:
    parts: Iterable[Any] = getattr(annotation, "__args__", ()) or ()
    return getattr(annotation, "__origin__", None) is list or any(_is_list(part) for part in parts)
