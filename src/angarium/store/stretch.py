"""Lists that go along an index, a stretch at a time.

A statement over everything could not leave out the partitions that it does not reach, and PostgreSQL may sort
where it expects little. So a look along the index alone says how far so many rows reach, and the list is read
up to there. Where little matches, the stretches become longer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, TypeVar
from uuid import UUID

LOWEST: Final = UUID(int=0)
HIGHEST: Final = UUID(int=(1 << 128) - 1)
LONGEST: Final = 10_000  # rows that one statement of a list goes over

T = TypeVar("T")
End = Callable[[UUID, UUID, int], Awaitable[UUID | None]]
Read = Callable[[UUID, UUID, int], AsyncIterator[T]]


async def read(low: UUID, high: UUID, limit: int, end: End, part: Read[T], *, upwards: bool) -> list[T]:
    """At most `limit` rows between two ids, themselves not included, from one end.

    `end` gives the first id between two that so many rows do not reach, None when they reach all. `part`
    reads at most so many rows between two.
    """
    found: list[T] = []
    rows = limit
    while True:
        at = await end(low, high, rows)
        bounds = (low, high) if at is None else (low, at) if upwards else (at, high)
        found += [row async for row in part(*bounds, limit - len(found))]
        if at is None or len(found) >= limit:
            return found
        low, high = (UUID(int=at.int - 1), high) if upwards else (low, UUID(int=at.int + 1))
        rows = min(10 * rows, LONGEST)
