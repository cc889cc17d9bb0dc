"""Pages of lists: `limit`, `iterator` and `order` in, `{"data", "iterator", "prevIterator", "done"}` out.

An iterator is the last id of the page before; with a leading `-` it is the first id of the page after, and
pages backwards. The data of a page always comes in the order of the list. A route takes
`paging: Annotated[Paging[UUID], paged(ids.MESSAGE)]`, asks the store for `paging.rows` rows beyond
`paging.cursor`, in the direction `paging.ascending(list_is_ascending)`, and answers `page(…)`.

The query parameters of lists of messages and attempts are read from the request, as `query.Parameters` leaves
it, and not declared to FastAPI, because one value can have several event types (`event_types=a,b`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated, Any, Final, Generic, TypeVar
from uuid import UUID

from fastapi import Depends, Query
from msgspec import UNSET, UnsetType
from starlette.requests import Request

from angarium.api import query
from angarium.api.answer import Out
from angarium.api.field import ENDPOINT, MESSAGE, NOW, says
from angarium.api.query import QueryNumber
from angarium.core import ids, patterns, timestamp
from angarium.core.errors import Invalid
from angarium.service.attempt import Status
from angarium.service.log import Window
from angarium.store.message import Filter

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 250

C = TypeVar("C")
R = TypeVar("R")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Paging(Generic[C]):
    """What part of a list is wanted; `cursor` is the last item already seen."""

    limit: int
    cursor: C | None
    backwards: bool

    @property
    def rows(self) -> int:
        """How many rows to read: one more than wanted tells whether there are more."""
        return self.limit + 1

    def ascending(self, list_ascending: bool) -> bool:
        """The direction to read in, given the order of the list."""
        return list_ascending != self.backwards


Limit = Annotated[
    QueryNumber,
    Query(ge=1, le=MAX_LIMIT, description="Maximum number of items per page.", examples=[DEFAULT_LIMIT]),
]
Iterator = Annotated[
    str | None,
    Query(description="`iterator` or `prevIterator` of the page before.", examples=[MESSAGE]),
]


def paged_by(parse: Callable[[str], C | None]) -> Any:
    """A dependency that reads limit and iterator, the latter parsed by `parse` (None: malformed, 422)."""

    async def read(limit: Limit = DEFAULT_LIMIT, iterator: Iterator = None) -> Paging[C]:
        if iterator is None:
            return Paging(limit, None, False)
        backwards = iterator.startswith("-")
        cursor = parse(iterator[1:] if backwards else iterator)
        if cursor is None:
            raise Invalid.field("iterator", "Not an iterator of this list.", where="query")
        return Paging(limit, cursor, backwards)

    return Depends(read)


def paged(prefix: str) -> Any:
    """The same for a list of ids: `paging: Annotated[Paging[UUID], paged(ids.MESSAGE)]`."""
    return paged_by(lambda raw: ids.parse(prefix, raw))


class ListOrder(StrEnum):
    """The order of a list."""

    ASCENDING = "ascending"
    DESCENDING = "descending"


Order = Annotated[ListOrder, Query(description="The order of the list.", examples=["descending"])]


class Page(Out, Generic[T]):
    """A page of a list."""

    data: Annotated[list[T], says("The items, in the order of the list.")]
    iterator: Annotated[
        str | None, says("Pass it as `iterator` to get the next page; null if the page is empty.", MESSAGE)
    ]
    done: Annotated[bool, says("Whether this is the last page in this direction.", True)]
    prev_iterator: Annotated[
        str | UnsetType, says("Pass it as `iterator` to get the page before.", f"-{MESSAGE}")
    ] = UNSET


def page(
    rows: Sequence[R], paging: Paging[Any], id_of: Callable[[R], str], wire: Callable[[R], T]
) -> Page[T]:
    """The body of a list. `rows`: up to `paging.rows` rows in the direction of reading."""
    kept = list(rows[: paging.limit])
    if paging.backwards:
        kept.reverse()
    return Page(
        data=[wire(row) for row in kept],
        iterator=id_of(kept[-1]) if kept else None,
        done=len(rows) <= paging.limit,
        prev_iterator=f"-{id_of(kept[0])}" if kept else UNSET,
    )


CODE_CLASSES: Final = (0, 100, 200, 300, 400, 500)
MAX_EVENT_TYPES: Final = 250


def read_window(request: Request, wanted: Paging[UUID]) -> tuple[Window, Paging[UUID]]:
    """The stretch of a newest-first list, and the paging to answer it with. Raises Invalid."""
    before, after = read_time(request, "before"), read_time(request, "after")
    if after is not None and wanted.cursor is None:
        wanted = replace(wanted, backwards=True)  # the page that follows the time directly
    return Window(wanted.rows, wanted.cursor, wanted.backwards, before, after), wanted


def read_filter(request: Request) -> Filter:
    """What the message must have. Raises Invalid."""
    return Filter(
        _read_text(request, "channel", patterns.is_channel),
        _read_text(request, "tag", patterns.is_tag),
        _read_event_types(request),
    )


def read_flag(request: Request, name: str, *, default: bool) -> bool:
    """`true` or `false`. Raises Invalid."""
    raw = request.query_params.get(name)
    if raw is None:
        return default
    try:
        return query.read_flag(raw)
    except ValueError as error:
        raise Invalid.field(name, f"{name} {error}.", where="query") from error


def read_status(request: Request) -> Status | None:
    """Raises Invalid."""
    raw = _read_number(request, "status", tuple(Status))
    return None if raw is None else Status(raw)


def read_code_class(request: Request) -> int | None:
    """Raises Invalid."""
    return _read_number(request, "status_code_class", CODE_CLASSES)


def read_time(request: Request, name: str) -> float | None:
    """Epoch seconds of an RFC 3339 time. Raises Invalid."""
    raw = request.query_params.get(name)
    if raw is None:
        return None
    try:
        return timestamp.parse_query(raw).timestamp()
    except ValueError as error:
        raise Invalid.field(name, f"{name} {error}.", where="query") from error


def _read_number(request: Request, name: str, allowed: tuple[int, ...]) -> int | None:
    raw = request.query_params.get(name)
    if raw is None:
        return None
    if raw not in {str(int(number)) for number in allowed}:
        words = ", ".join(str(int(number)) for number in allowed)
        raise Invalid.field(name, f"{name} must be one of {words}.", where="query")
    return int(raw)


def _read_text(request: Request, name: str, is_valid: Callable[[str], bool]) -> str | None:
    raw = request.query_params.get(name)
    if raw is None:
        return None
    if not is_valid(raw):
        raise Invalid.field(name, f"Not a valid {name}.", where="query")
    return raw


def _read_event_types(request: Request) -> tuple[str, ...] | None:
    names = [
        name for value in request.query_params.getlist("event_types") for name in value.split(",") if name
    ]
    if not names:
        return None
    if len(names) > MAX_EVENT_TYPES:
        raise Invalid.field("event_types", f"At most {MAX_EVENT_TYPES} event types.", where="query")
    if not all(map(patterns.is_event_type, names)):
        raise Invalid.field("event_types", "Not a valid event type name.", where="query")
    return tuple(dict.fromkeys(names))


def _parameter(name: str, example: Any, words: str, **schema: Any) -> dict[str, Any]:
    schema["examples"] = [example]
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": words}


_NAME: Final = {"type": "string", "maxLength": 256, "pattern": r"^[a-zA-Z0-9\-_.]+$"}
_TIME: Final = {"type": "string", "format": "date-time"}

_PARAMETERS: Final[dict[str, dict[str, Any]]] = {
    parameter["name"]: parameter
    for parameter in (
        _parameter(
            "channel", "warehouse", "Only messages sent to this channel.",
            type="string", maxLength=128, pattern=r"^[a-zA-Z0-9\-_.:+]+$",
        ),
        _parameter(
            "tag", "eu-west", "Only messages with this tag.",
            type="string", maxLength=128, pattern=r"^[a-zA-Z0-9\-_./\\#]+$",
        ),
        _parameter("before", NOW, "Only items created before this time.", **_TIME),
        _parameter(
            "after", NOW,
            "Only items created at or after this time. Without an iterator, the page starts at this time.",
            **_TIME,
        ),
        _parameter(
            "with_content", False,
            "Whether payloads or responses are included. Without them, their place has `{}`.",
            type="boolean", default=True,
        ),
        _parameter(
            "with_msg", True, "Whether each attempt comes with its message, without the payload.",
            type="boolean", default=False,
        ),
        _parameter(
            "expanded_statuses", True,
            "Whether to return the statuses retrying (3) and canceled (4). Otherwise both are returned as "
            "failed (2).",
            type="boolean", default=False,
        ),
        _parameter(
            "event_types", ["order.filled"],
            "Only messages of these event types. Give the parameter several times, or names with commas.",
            type="array", items=_NAME,
        ),
        _parameter(
            "status", 2,
            "Only items that succeeded (0), are pending (1), failed (2), are being retried (3) or were "
            "canceled (4).",
            type="integer", enum=[int(status) for status in Status],
        ),
        _parameter(
            "status_code_class", 400,
            "Only responses with this class of status codes, such as 400 for 4xx; 0: no response.",
            type="integer", enum=list(CODE_CLASSES),
        ),
        _parameter(
            "endpoint_id", ENDPOINT, "Only attempts to the endpoint with this id or uid.",
            **_NAME, minLength=1,
        ),
    )
}  # fmt: skip


def described(*names: str) -> dict[str, Any]:
    """The parameters as `openapi_extra` of a route."""
    return {"parameters": [_PARAMETERS[name] for name in names]}
