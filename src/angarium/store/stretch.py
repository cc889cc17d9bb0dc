"""Reads lists along an index, one stretch at a time.

A statement over the whole range would open partitions that it does not need, and PostgreSQL may sort if it
expects few rows. So an index-only query first finds how far a number of rows reaches, and the list is read up
to there. If few rows match, the next stretches are longer. That first query starts with the nearest day,
because a statement over all days is planned for each partition, which takes longer than reading a page.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import datetime
from typing import Final, TypeVar
from uuid import UUID

from angarium.core import ids

LOWEST: Final = UUID(int=0)
HIGHEST: Final = UUID(int=(1 << 128) - 1)
LONGEST: Final = 10_000  # rows that one statement of a list reads
AHEAD: Final = 3600.0  # seconds by which other hosts' clocks may be ahead
WINDOWS: Final = (1, 16)  # days that are searched first, before the whole range
_DAY: Final = 86400.0

T = TypeVar("T")
End = Callable[[UUID, UUID, int], Awaitable[UUID | None]]
Read = Callable[[UUID, UUID, int], AsyncIterator[T]]


def windows(low: UUID, high: UUID, now: datetime, *, upwards: bool) -> Iterator[tuple[UUID, UUID]]:
    """The ranges to search between two ids, until enough is found: the days nearest to one end, then more of
    them, then everything. Each range contains the previous one."""
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
    """The first result of `look` that is not None, in the ranges of `windows`."""
    for window in windows(low, high, now, upwards=upwards):
        found = await look(*window)
        if found is not None:
            return found
    return None


async def read(low: UUID, high: UUID, limit: int, end: End, part: Read[T], *, upwards: bool) -> list[T]:
    """At most `limit` rows between two ids, which are excluded, from one end.

    `end(low, high, rows)` returns the first id that this many rows do not reach, or None if they reach all.
    `part(low, high, limit)` reads at most `limit` rows.
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
