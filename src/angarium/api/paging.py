"""Pages of a list: `limit`, `iterator` and `order` in, `{"data", "iterator", "prevIterator", "done"}` out.

An iterator is the last id of the page before; with a leading `-` it is the first id of the page after,
and pages backwards. The data of a page always comes in the order of the list.

A route reads `paging = read(request, prefix)`, asks the store for `paging.rows` rows beyond
`paging.cursor`, in the direction `paging.ascending(list_is_ascending)`, and answers `page(…)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from starlette.requests import Request

from angarium.core import ids
from angarium.core.errors import Invalid

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 250

C = TypeVar("C")
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


def read_limit(request: Request) -> int:
    """Raises Invalid unless the limit is 1 to 250."""
    raw = request.query_params.get("limit")
    if raw is None:
        return DEFAULT_LIMIT
    if not raw.isascii() or not raw.isdigit() or len(raw) > 9 or int(raw) < 1:
        raise Invalid.field("limit", "limit must be a whole number of 1 or more.", where="query")
    if int(raw) > MAX_LIMIT:
        raise Invalid.field("limit", f"Given limit must not exceed {MAX_LIMIT}", where="query")
    return int(raw)


def read_with(request: Request, parse: Callable[[str], C | None]) -> Paging[C]:
    """Limit and iterator, the latter parsed by `parse` (None: malformed). Raises Invalid."""
    limit = read_limit(request)
    raw = request.query_params.get("iterator")
    if not raw:  # SDKs leave it out, hand-made clients send it empty for the first page
        return Paging(limit, None, False)
    backwards = raw.startswith("-")
    cursor = parse(raw[1:] if backwards else raw)
    if cursor is None:
        raise Invalid.field("iterator", "The iterator is not one that this list gave out.", where="query")
    return Paging(limit, cursor, backwards)


def read(request: Request, prefix: str) -> Paging[UUID]:
    """Limit and iterator of a list of ids with this prefix. Raises Invalid."""
    return read_with(request, lambda raw: ids.parse(prefix, raw))


def read_ascending(request: Request, *, default: bool) -> bool:
    """The parameter `order`: whether the list is ascending. Raises Invalid."""
    raw = request.query_params.get("order")
    if raw is None:
        return default
    if raw not in ("ascending", "descending"):
        raise Invalid.field("order", "order must be ascending or descending.", where="query")
    return raw == "ascending"


def page(rows: Sequence[T], paging: Paging[Any], id_of: Callable[[T], str], wire: Callable[[T], Any]) -> dict[str, Any]:
    """The body of a list. `rows`: up to `paging.rows` rows in the direction of reading."""
    more = len(rows) > paging.limit
    kept = list(rows[: paging.limit])
    if paging.backwards:
        kept.reverse()
    body: dict[str, Any] = {"data": [wire(row) for row in kept], "iterator": None, "done": not more}
    if kept:
        body["iterator"] = id_of(kept[-1])
        body["prevIterator"] = f"-{id_of(kept[0])}"
    return body
