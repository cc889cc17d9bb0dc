"""Lists that go along an index, a stretch at a time.

A statement over everything could not leave out the partitions that it does not reach, and PostgreSQL may sort
where it expects little. So a look along the index alone says how far so many rows reach, and the list is read
up to there. Where little matches, the stretches become longer. The look itself begins with the nearest day,
for a statement over all days is planned for each partition, which takes longer than a page.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import datetime
from typing import Final, TypeVar
from uuid import UUID

from angarium.core import ids

LOWEST: Final = UUID(int=0)
HIGHEST: Final = UUID(int=(1 << 128) - 1)
LONGEST: Final = 10_000  # rows that one statement of a list goes over
AHEAD: Final = 3600.0  # seconds; other hosts' clocks may run ahead by this much
WINDOWS: Final = (1, 16)  # days that are looked through before all are
_DAY: Final = 86400.0

T = TypeVar("T")
End = Callable[[UUID, UUID, int], Awaitable[UUID | None]]
Read = Callable[[UUID, UUID, int], AsyncIterator[T]]


def windows(low: UUID, high: UUID, now: datetime, *, upwards: bool) -> Iterator[tuple[UUID, UUID]]:
    """What to look through between two ids until enough is found: the days nearest to one end, more of them,
    and at last everything. Each has the one before in it."""
    if low != LOWEST or not upwards:
        near = ids.created_at(low) if upwards else min(ids.created_at(high), now.timestamp())
        first = near - near % _DAY
        for days in WINDOWS:
            edge = ids.lowest(first + (days if upwards else 1 - days) * _DAY)
            if not low < edge < high:
                break
            yield (low, edge) if upwards else (edge, high)
    yield low, high


async def nearest(
    low: UUID, high: UUID, now: datetime, look: Callable[[UUID, UUID], Awaitable[T | None]], *, upwards: bool
) -> T | None:
    """What `look` finds between two ids, window by window."""
    for window in windows(low, high, now, upwards=upwards):
        found = await look(*window)
        if found is not None:
            return found
    return None


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
