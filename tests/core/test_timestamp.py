"""One parser of times: what it takes, what it refuses, and that there is no other."""

from __future__ import annotations

import ast
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import angarium
from angarium.core import timestamp

NOON = datetime(2026, 11, 27, 10, 55, 53, tzinfo=UTC)
SOURCE = Path(angarium.__file__).parent


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-27T10:55:53Z", NOON),
        ("2026-11-27t10:55:53z", NOON),
        ("2026-11-27T10:55:53z", NOON),
        ("2026-11-27 10:55:53Z", NOON),
        ("2026-11-27 10:55:53 UTC", NOON),
        ("2026-11-27 10:55:53 utc", NOON),
        ("2026-11-27T10:55:53+00:00", NOON),
        ("2026-11-27T16:25:53+05:30", NOON),
        ("2026-11-27T16:25:53+0530", NOON),
        ("2026-11-27T16:25:53 +05:30", NOON),
        ("2026-11-27T05:55:53-05:00", NOON),
        ("2026-11-27T05:55:53\u221205:00", NOON),
        ("2026-11-27T10:55:53.5Z", NOON.replace(microsecond=500_000)),
        ("2026-11-27T10:55:53.123456Z", NOON.replace(microsecond=123_456)),
        ("2026-11-27T10:55:53.123456789Z", NOON.replace(microsecond=123_456)),
        ("2026-11-27T10:55:53." + "123456".ljust(43, "9") + "Z", NOON.replace(microsecond=123_456)),
        ("2026-11-27T16:54:53+05:59", NOON),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("2016-12-31T23:59:60.25Z", datetime(2017, 1, 1, 0, 0, 0, 250_000, tzinfo=UTC)),
        ("2017-01-01T05:29:60+05:30", datetime(2017, 1, 1, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59.999999Z", datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
    ],
)
def test_valid_timestamps_are_parsed(text: str, expected: datetime) -> None:
    found = timestamp.parse(text)
    assert found == expected
    assert found.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "now",
        "1764240953",
        "1764240953.5",
        "2026-11-27",
        "2026-11-27Z",
        "2026-W48-5",
        "2026-W48-5T10:55:53Z",
        "2026-331T10:55:53Z",
        "20261127T105553Z",
        "2026-11-27T10:55:53",
        "2026-11-27 10:55:53",
        "2026-11-27T10:55Z",
        "2026-11-27T10Z",
        "2026-11-27T10:55:53+05",
        "2026-11-27T10:55:53 05:30",
        "2026-11-27T10:55:53+05:60",
        "2026-11-27T10:55:53+24:00",
        "2026-11-27T10:55:53,5Z",
        "2026-11-27T10:55:53.Z",
        "2026-11-27T10:55:53 CET",
        "2026-11-27T10:55:53ZZ",
        "2026-11-27T10:55:61Z",
        "2026-11-27T10:60:00Z",
        "2026-11-27T24:00:00Z",
        "2026-02-30T10:55:53Z",
        "2026-13-01T10:55:53Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:60Z",
        "2026-11-27T10:55:53Z\n",
        "٢٠٢٦-11-27T10:55:53Z",
        "2026-11-27T10:55:53." + "1" * 44 + "Z",
        "2026-11-27T10:55:53." + "1" * 100_000 + "Z",
    ],
)
def test_invalid_timestamps_are_refused(text: str) -> None:
    for parse in (timestamp.parse, timestamp.parse_query):
        if parse is timestamp.parse_query and text == "2026-11-27T10:55:53 05:30":
            continue
        with pytest.raises(ValueError, match=r"^must be a date and time .*such as 2026-01-31T12:00:00Z$"):
            parse(text)


def test_a_plus_lost_in_a_query_is_restored() -> None:
    assert timestamp.parse_query("2026-11-27T16:25:53 05:30") == NOON
    assert timestamp.parse_query("2026-11-27T16:25:53 0530") == NOON
    assert timestamp.parse_query("2026-11-27 10:55:53 UTC") == NOON


def test_the_input_of_a_page_is_utc() -> None:
    assert timestamp.parse_form("2026-11-27T10:55") == NOON.replace(second=0)
    assert timestamp.parse_form("2026-11-27T10:55:53") == NOON
    assert timestamp.parse_form("2026-11-27 10:55:53.25") == NOON.replace(microsecond=250_000)
    assert timestamp.parse_form("2026-11-27T16:25:53+05:30") == NOON
    longest = "2026-11-27T10:55:53.".ljust(63, "0")
    assert timestamp.parse_form(longest) == NOON
    for text in ("2026-11-27", "2026-W48-5T10:55", "2026-11-27T25:00", "", f"{longest}0"):
        with pytest.raises(ValueError, match=r"^must be"):
            timestamp.parse_form(text)


@given(
    st.integers(-62_000_000_000_000_000, 253_000_000_000_000_000),
    st.integers(-1439, 1439),
)
def test_timestamps_written_by_python_are_parsed(micros: int, offset: int) -> None:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
    there = at.astimezone(timezone(timedelta(minutes=offset)))
    assert timestamp.parse(there.isoformat()) == at
    assert timestamp.parse_query(there.isoformat().replace("+", " ")) == at


# modules that stand alone and read other people's times
ALONE = {
    Path("receiver/event.py"): "what an event's payload says about its time, in whatever form it has",
    Path("receiver/payload.py"): "the fields of an application's own dataclasses",
}


def test_no_other_module_parses_times() -> None:
    others = {
        path.relative_to(SOURCE)
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Attribute) and node.attr in ("fromisoformat", "strptime"))
        or (isinstance(node, ast.Name | ast.Attribute) and _name(node) in ("AwareDatetime", "NaiveDatetime"))
    }
    assert others == set(ALONE)


def _name(node: ast.Name | ast.Attribute) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr
