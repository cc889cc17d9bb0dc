"""A list that is read a stretch at a time is the list that one look over everything would give."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from angarium.store import stretch

ids = st.integers(0, 300).map(lambda n: UUID(int=n))


@given(st.sets(ids), st.sets(ids), ids, ids, st.integers(1, 20), st.booleans())
async def test_it_is_whole_and_in_order_and_looks_at_nothing_twice(
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
