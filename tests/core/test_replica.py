"""Whether a replica may answer, and how far it is behind."""

from __future__ import annotations

from dataclasses import replace

import pytest

from angarium.core.replica import SAMPLES, Lag, LogPosition, ReplicaTrouble, judge

PRIMARY = LogPosition(system=7, database=16384, timeline=2, lsn=1000)


@pytest.mark.parametrize(
    ("other", "trouble"),
    [
        ({}, None),
        ({"lsn": 1001}, None),
        ({"lsn": 999}, ReplicaTrouble.LAGGING),
        ({"lsn": None}, ReplicaTrouble.PROMOTED),
        ({"lsn": None, "timeline": 3}, ReplicaTrouble.PROMOTED),
        ({"timeline": 1, "lsn": 5000}, ReplicaTrouble.DIVERGED),
        ({"timeline": 3, "lsn": 5000}, ReplicaTrouble.DIVERGED),
        ({"timeline": None}, ReplicaTrouble.DIVERGED),
        ({"system": 8, "lsn": 5000}, ReplicaTrouble.DIVERGED),
        ({"system": 8, "lsn": None}, ReplicaTrouble.DIVERGED),
        ({"database": 16385, "lsn": 5000}, ReplicaTrouble.DIVERGED),
    ],
)
def test_a_replica_is_used_if_it_has_the_same_history_and_has_replayed_enough(
    other: dict[str, int | None], trouble: ReplicaTrouble | None
) -> None:
    assert judge(PRIMARY, replace(PRIMARY, **other)) is trouble  # type: ignore[arg-type]


def test_a_primary_without_a_position_allows_no_comparison() -> None:
    assert judge(replace(PRIMARY, lsn=None), PRIMARY) is ReplicaTrouble.LAGGING


def shown(lag: Lag) -> tuple[float | None, int | None]:
    return lag.seconds, lag.bytes


def test_lag_is_counted_from_the_oldest_position_that_is_not_replayed() -> None:
    lag = Lag()
    assert shown(lag) == (None, None)
    lag.noted(100.0, 1000, 1000, 100.25)
    assert shown(lag) == (0.25, 0), "what it took to get there"
    lag.noted(101.0, 1100, 1050, 101.5)
    assert shown(lag) == (0.5, 50)
    lag.noted(102.0, 1200, 1099, 103.0)
    assert shown(lag) == (2.0, 101)
    lag.noted(103.0, 1300, 1100, 104.0)
    assert shown(lag) == (2.0, 200), "the position of 101 is replayed, that of 102 is not"
    lag.noted(104.0, 1300, 1400, 104.125)
    assert shown(lag) == (0.125, 0)


def test_an_idle_primary_causes_no_lag() -> None:
    lag = Lag()
    for second in range(100):
        lag.noted(float(second), 1000, 1000, second + 0.25)
        assert shown(lag) == (0.25, 0)


def test_a_stopped_replica_is_behind_for_the_time_since() -> None:
    lag = Lag()
    for second in range(2 * SAMPLES):
        lag.noted(float(second), 1000 + second, 999, second + 0.5)
    assert lag.seconds == 2 * SAMPLES - 0.5
    lag.unknown()
    assert shown(lag) == (None, None)
    lag.noted(1e6, 1000, 999, 1e6 + 1.0)
    assert lag.seconds == 1.0
