"""Pages of a list: `limit`, `iterator` and `order` in, `{"data", "iterator", "prevIterator", "done"}` out.

An iterator is the last id of the page before; with a leading `-` it is the first id of the page after,
and pages backwards. The data of a page always comes in the order of the list.

A route takes `paging: Annotated[Paging[UUID], paged(ids.MESSAGE)]`, asks the store for `paging.rows`
rows beyond `paging.cursor`, in the direction `paging.ascending(list_is_ascending)`, and answers `page(…)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Final, Generic, TypeVar

from fastapi import Depends, Query

from angarium.api.query import QueryNumber
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


Limit = Annotated[QueryNumber, Query(ge=1, le=MAX_LIMIT, description="Maximum number of items per page.")]
Iterator = Annotated[str | None, Query(description="`iterator` or `prevIterator` of the previous page.")]


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


def page(
    rows: Sequence[T], paging: Paging[Any], id_of: Callable[[T], str], wire: Callable[[T], Any]
) -> dict[str, Any]:
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
