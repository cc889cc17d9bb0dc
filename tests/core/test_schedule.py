"""Durations and schedules: how they are written, and when the next attempt is due."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angarium.core.schedule import (
    MAX_ATTEMPTS,
    MAX_DELAY,
    MAX_DURATION,
    Schedule,
    TooLong,
    parse_duration,
    parse_schedule,
    spoken,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("200ms", 0.2),
        ("5s", 5.0),
        ("1.5m", 90.0),
        ("2h", 7200.0),
        ("1h30m", 5400.0),
        ("5d", 432000.0),
        ("1d1h1m1s1ms", 90061.001),
        (" 7s ", 7.0),
        ("0s", 0.0),
    ],
)
def test_a_duration_is_numbers_with_units(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds, abs=1e-9)


@pytest.mark.parametrize("text", ["", "5", "s", "5 s", "-5s", "5S", "5s,", "1e3s", ".5s", "5.s", "5w", "٣s"])
def test_anything_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration") as refused:
        parse_duration(text)
    assert repr(text.strip()) in str(refused.value)


def test_a_duration_is_at_most_a_hundred_years() -> None:
    assert parse_duration("36525d") == MAX_DURATION == 100 * 365.25 * 86400
    for text in ("36525d1ms", "36526d", "9" * 99 + "d", f"{'9' * 40}d{'9' * 40}h"):
        with pytest.raises(TooLong, match="at most 36525d"):
            parse_duration(text)


def test_a_text_is_no_longer_than_a_duration_can_be_and_the_error_does_not_quote_it() -> None:
    assert parse_duration("0" * 97 + "12s") == 12.0
    with pytest.raises(ValueError, match=r"^a duration has at most 100 characters$"):
        parse_duration("0" * 98 + "12s")
    with pytest.raises(ValueError, match=r"^a duration has at most 100 characters$"):
        parse_duration("9" * 400 + "d")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (1.5, "1.5 seconds"),
        (60, "1 minute"),
        (61, "1 minute 1 second"),
        (5400, "1 hour 30 minutes"),
        (86400, "1 day"),
        (2 * 86400 + 3600, "2 days 1 hour"),
        (90061, "1 day 1 hour 1 minute 1 second"),
    ],
)
def test_a_duration_in_words(seconds: float, words: str) -> None:
    assert spoken(seconds) == words


def test_a_schedule_is_durations_with_commas() -> None:
    assert parse_schedule("5s, 5m,30m") == (5.0, 300.0, 1800.0)
    assert parse_schedule("") == parse_schedule("  ") == ()


def test_a_schedule_is_bounded() -> None:
    longest = ",".join(["1s"] * (MAX_ATTEMPTS - 1))
    assert len(parse_schedule(longest)) == MAX_ATTEMPTS - 1
    with pytest.raises(ValueError, match="at most 99 delays"):
        parse_schedule(longest + ",1s")
    assert parse_schedule("30d") == (MAX_DELAY,)
    with pytest.raises(ValueError, match="at most 30 days"):
        parse_schedule("30d1ms")


def test_there_is_one_attempt_more_than_delays() -> None:
    schedule = Schedule((5.0, 300.0))
    assert [schedule.delay(failures, 0.9) for failures in range(4)] == [None, 5.0, 300.0, None]


@given(chance=st.floats(0, 1, exclude_max=True))
def test_a_delay_grows_by_a_fraction_between_the_bounds(chance: float) -> None:
    delay = Schedule((100.0,), jitter=0.2, least=0.1).delay(1, chance)
    assert delay is not None
    assert 110.0 - 1e-9 <= delay <= 120.0 + 1e-9


def test_the_bounds_of_the_fraction_are_reached() -> None:
    schedule = Schedule((100.0,), jitter=0.2, least=0.1)
    assert schedule.delay(1, 0.0) == pytest.approx(110.0)
    assert schedule.delay(1, 0.5) == pytest.approx(115.0)
    assert schedule.delay(1, 1.0) == pytest.approx(120.0)
