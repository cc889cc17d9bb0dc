"""A list that is read a stretch at a time is the list that one look over everything would give."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import pairwise
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from angarium.core import ids as ids_of
from angarium.store import stretch

NOW = datetime(2027, 1, 15, 8, tzinfo=UTC)
ids = st.integers(0, 300).map(lambda n: UUID(int=n))


@given(st.sets(ids), st.sets(ids), ids, ids, st.integers(1, 20), st.booleans())
async def test_a_list_is_complete_and_ordered_and_reads_no_row_twice(
    there: set[UUID], wanted: set[UUID], low: UUID, high: UUID, limit: int, upwards: bool
) -> None:
    looked: list[UUID] = []

    def between(low: UUID, high: UUID) -> list[UUID]:
        return sorted((one for one in there if low < one < high), reverse=not upwards)

    async def end(low: UUID, high: UUID, rows: int) -> UUID | None:
        return dict(enumerate(between(low, high))).get(rows)

    async def part(low: UUID, high: UUID, limit: int) -> AsyncIterator[UUID]:
        looked.extend(between(low, high))
        for one in [one for one in between(low, high) if one in wanted][:limit]:
            yield one

    found = await stretch.read(low, high, limit, end, part, upwards=upwards)
    assert found == [one for one in between(low, high) if one in wanted][:limit]
    assert len(looked) == len(set(looked))


times = st.floats(1_790_000_000, 1_800_000_000).map(ids_of.lowest)
ends = st.one_of(times, st.sampled_from([stretch.LOWEST, stretch.HIGHEST]))


@given(st.lists(times, max_size=30), ends, ends, st.integers(0, 30), st.booleans())
async def test_searching_by_windows_finds_what_one_search_would_find(
    there: list[UUID], low: UUID, high: UUID, rows: int, upwards: bool
) -> None:
    low, high = sorted((low, high))
    looked: list[tuple[UUID, UUID]] = []

    async def look(low: UUID, high: UUID) -> UUID | None:
        looked.append((low, high))
        between = sorted((one for one in there if low < one < high), reverse=not upwards)
        return dict(enumerate(between)).get(rows)

    found = await stretch.nearest(low, high, NOW, look, upwards=upwards)
    assert found == await look(low, high)
    assert len(looked) <= len(stretch.WINDOWS) + 2
    assert all(before[0] >= one[0] and before[1] <= one[1] for before, one in pairwise(looked))


async def test_a_search_for_new_rows_starts_with_today() -> None:
    first, *_ = stretch.windows(stretch.LOWEST, stretch.HIGHEST, NOW, upwards=False)
    assert first == (ids_of.lowest(NOW.timestamp() // 86400 * 86400), stretch.HIGHEST)
