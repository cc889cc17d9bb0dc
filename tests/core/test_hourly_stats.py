"""Counts of attempts: they add up in any order, and percentiles are right to within a class."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angarium.core.hourly_stats import (
    BOUNDS,
    CLASSES,
    HOUR,
    NONE,
    WHOLE,
    HourCount,
    HourlyStats,
    Span,
    percentile,
    point,
)

APP, HERE, THERE = UUID(int=1), UUID(int=2), UUID(int=3)
START = datetime(2026, 11, 21, tzinfo=UTC)
notes = st.tuples(
    st.sampled_from([HERE, THERE]),
    st.floats(0, 3 * HOUR),
    st.integers(0, 120_000),
    st.sampled_from([None, "timeout", "dns"]),
)


def counted(made: list[tuple[UUID, float, int, str | None]]) -> dict[tuple[UUID, int], HourCount]:
    hourly_stats = HourlyStats()
    for endpoint_id, at, duration, error in made:
        hourly_stats.note(APP, endpoint_id, at, duration, error)
    taken = {(one.endpoint_id, one.hour): one for one in hourly_stats.take()}
    assert not hourly_stats.take()
    return taken


@given(st.lists(notes))
def test_every_attempt_is_counted_once_for_its_endpoint_and_once_for_the_whole(
    made: list[tuple[UUID, float, int, str | None]],
) -> None:
    taken = counted(made)
    for endpoint_id in (HERE, THERE, WHOLE):
        mine = [one for one in made if endpoint_id in (WHOLE, one[0])]
        rows = [one for (of, _), one in taken.items() if of == endpoint_id]
        assert sum(row.delivered for row in rows) == sum(error is None for *_, error in mine)
        assert sum(row.failed for row in rows) == sum(error is not None for *_, error in mine)
        assert sum(sum(row.latency) for row in rows) == len(mine)
        assert {row.hour for row in rows} == {int(at) // HOUR * HOUR for _, at, _, _ in mine}
        assert all(len(row.latency) == CLASSES for row in rows)


@given(st.lists(notes, min_size=1), st.integers(0, 100))
def test_counting_in_two_parts_and_adding_is_counting_at_once(
    made: list[tuple[UUID, float, int, str | None]], cut: int
) -> None:
    made = sorted(made, key=lambda note: note[1])
    first, second, both = counted(made[:cut]), counted(made[cut:]), counted(made)
    for key, whole in both.items():
        parts = [part[key] for part in (first, second) if key in part]
        together = parts[0].plus(parts[1]) if len(parts) == 2 else parts[0]
        assert (together.delivered, together.failed) == (whole.delivered, whole.failed)
        assert (together.latency, together.failed_at) == (whole.latency, whole.failed_at)


def test_the_last_failure_of_the_hour_is_kept() -> None:
    (mine, _) = counted([(HERE, 10, 5, "dns"), (HERE, 20, 5, "timeout"), (HERE, 30, 5, None)]).values()
    assert (mine.failed_at, mine.error_code) == (20, "timeout")
    later = counted([(HERE, 40, 5, None)])[HERE, 0]
    assert (mine.plus(later).error_code, later.plus(mine).error_code) == ("timeout", "timeout")


@given(st.lists(st.integers(1, 65_536), min_size=1), st.sampled_from([0.5, 0.95]))
def test_a_percentile_is_accurate_to_one_class(durations: list[int], part: float) -> None:
    taken = counted([(HERE, 0.0, duration, None) for duration in durations])
    found = percentile(taken[HERE, 0].latency, part)
    assert found is not None
    rank = math.ceil(part * len(durations))  # so many did not exceed it
    exact = sorted(durations)[rank - 1]
    assert any(low <= found <= high and low < exact <= high for low, high in pairwise((0, *BOUNDS)))


def test_classes_grow_steadily_from_a_millisecond_to_a_minute() -> None:
    assert (BOUNDS[0], BOUNDS[-1]) == (1, 65_536)
    assert all(1.3 <= high / low <= 1.51 for low, high in pairwise(BOUNDS) if low > 2)
    assert counted([(HERE, 0.0, 10**6, None)])[HERE, 0].latency[-1] == 1


def classed(*durations: int) -> tuple[int, ...]:
    return counted([(HERE, 0.0, duration, None) for duration in durations])[HERE, 0].latency


def test_counts_are_taken_with_those_of_the_application() -> None:
    taken = counted(
        [(HERE, 10, 5, None), (HERE, 20, 70_000, "dns"), (THERE, 30, 5, None), (HERE, HOUR, 1, None)]
    )
    assert taken == {
        (HERE, 0): HourCount(APP, HERE, 0, 1, 1, classed(5, 70_000), 20, "dns"),
        (THERE, 0): HourCount(APP, THERE, 0, 1, 0, classed(5), None, None),
        (HERE, HOUR): HourCount(APP, HERE, HOUR, 1, 0, classed(1), None, None),
        (WHOLE, 0): HourCount(APP, WHOLE, 0, 2, 1, classed(5, 5, 70_000), 20, "dns"),
        (WHOLE, HOUR): HourCount(APP, WHOLE, HOUR, 1, 0, classed(1), None, None),
    }


def test_merged_counts_keep_the_first_key_and_the_last_failure() -> None:
    early = HourCount(APP, HERE, 0, 1, 2, classed(1, 1, 5), 20, "dns")
    late = HourCount(APP, THERE, HOUR, 3, 4, classed(1), 30, "timeout")
    assert early.plus(late) == HourCount(APP, HERE, 0, 4, 6, classed(1, 1, 1, 5), 30, "timeout")
    assert late.plus(early) == HourCount(APP, THERE, HOUR, 4, 6, classed(1, 1, 1, 5), 30, "timeout")


def test_a_limited_number_of_counts_is_taken_oldest_first() -> None:
    hourly_stats = HourlyStats()
    for endpoint_id in (THERE, HERE, THERE, APP):
        hourly_stats.note(APP, endpoint_id, 0.0, 1, None)
    assert len(hourly_stats) == 3
    assert [(one.endpoint_id, one.delivered) for one in hourly_stats.take(2)] == [
        (THERE, 2),
        (HERE, 1),
        (WHOLE, 3),
    ]
    hourly_stats.note(APP, THERE, 0.0, 1, None)  # it starts again, behind those that wait
    assert [(one.endpoint_id, one.delivered) for one in hourly_stats.take(1)] == [(APP, 1), (WHOLE, 1)]
    assert [(one.endpoint_id, one.delivered) for one in hourly_stats.take(9)] == [(THERE, 1), (WHOLE, 1)]
    assert len(hourly_stats) == 0
    assert hourly_stats.take() == []


def test_a_point_of_a_chart_is_all_of_its_counts_together() -> None:
    counts = [
        HourCount(APP, HERE, 0, 7, 1, classed(*[1] * 4, *[3] * 4)),
        HourCount(APP, THERE, HOUR, 2, 10, classed(*[70_000] * 12)),
    ]
    made = point(START, 2 * HOUR, iter(counts))
    assert (made.start, made.seconds, made.delivered, made.failed) == (START, 2 * HOUR, 9, 11)
    assert (made.attempts, made.error_rate) == (20, 0.55)
    # the tenth and the nineteenth of twenty are the second and the eleventh of twelve beyond the last bound
    assert made.p50_ms == BOUNDS[-1] + BOUNDS[-1] * 2 / 12
    assert made.p95_ms == BOUNDS[-1] + BOUNDS[-1] * 11 / 12


@pytest.mark.parametrize(
    ("durations", "part", "found"),
    [
        ([1, 1, 1, 1], 0.5, 0.5),
        ([0, 1], 1.0, 1.0),
        ([2, 2, 2, 2], 0.25, 1.25),
        ([6, 6, 10, 10], 0.5, 6.0),
        ([6, 6, 10, 10], 0.75, 9.5),
        ([100_000], 0.5, 98_304.0),
        ([1, 1], 0.0, None),
    ],
)
def test_a_percentile_divides_its_class_evenly(
    durations: list[int], part: float, found: float | None
) -> None:
    assert percentile(classed(*durations), part) == found


def test_without_attempts_there_is_no_rate_and_no_percentile() -> None:
    empty = point(START, HOUR, [])
    assert (empty.attempts, empty.error_rate, empty.p50_ms, empty.p95_ms) == (0, None, None, None)
    assert percentile(NONE, 0.5) is None


@pytest.mark.parametrize("span", list(Span))
def test_a_span_ends_with_the_hour_that_has_begun(span: Span) -> None:
    now = START.timestamp() + 1234.5
    assert span.start(now) + span.hours * HOUR == START.timestamp() + HOUR
    assert span.hours % span.step == 0


def test_a_chart_has_at_most_thirty_points() -> None:
    assert [(span.value, span.hours, span.hours // span.step) for span in Span] == [
        ("24h", 24, 24),
        ("7d", 168, 28),
        ("28d", 672, 28),
    ]
