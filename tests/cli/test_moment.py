"""The times that options take."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
import typer

from angarium.cli.option import moment


@pytest.mark.parametrize(
    ("text", "seconds"), [("2h", 7200), ("1h30m", 5400), ("0s", 0), ("36525d", 3155760000)]
)
def test_a_duration_is_so_long_ago(text: str, seconds: float) -> None:
    before = time.time()
    found = moment(text)
    assert before - 0.001 <= found.timestamp() + seconds <= time.time() + 0.001
    assert found.tzinfo is UTC


def test_a_time_is_that_time() -> None:
    assert moment("2026-01-31T12:00:00+02:00") == datetime(2026, 1, 31, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("36526d", "'36526d' is too long ago"),
        ("9" * 99 + "d", "is too long ago"),
        ("soon", "write a duration such as 2h or 7d; a time must be"),
        ("2026-01-31", "a time must be a date and time with a zone"),
        ("9" * 400 + "d", "write a duration such as 2h or 7d"),
    ],
)
def test_anything_else_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(typer.BadParameter, match=words):
        moment(text)
