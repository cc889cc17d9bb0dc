"""The words for statuses, and what a receiver asks for."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angarium.core.failure import kind_of_status
from angarium.core.outcome import explain_status, parse_retry_after, plain


@given(st.integers(100, 999), st.one_of(st.none(), st.text()))
def test_every_failing_status_has_a_code_and_a_text(status: int, location: str | None) -> None:
    kind, words = explain_status(status, location)
    if 200 <= status <= 299:
        assert kind is None
        assert words is None
        return
    assert kind is not None
    assert kind.code == ("redirect" if 300 <= status <= 399 else f"http_{status}")
    assert words is not None
    assert str(status) in words
    assert words.endswith(".")
    assert words.isprintable()
    words.encode("utf-8")


@pytest.mark.parametrize(
    ("status", "location", "words"),
    [
        (100, None, "100: this is not a final answer"),
        (299, None, None),
        (300, None, "300, a redirect"),
        (302, "", "302, a redirect"),
        (307, "https://h/\n", "307, a redirect to https://h/\\x0a"),
        (399, "x" * 301, f"399, a redirect to {'x' * 300}…"),
        (400, "https://h/", "400: it could not understand the request"),
        (402, None, "402: it refused the request"),
        (499, None, "499: it refused the request"),
        (500, None, "500: its code failed"),
        (599, None, "599: it failed"),
        (600, None, "600: this is not a known HTTP status"),
    ],
)
def test_the_text_of_a_status_says_what_happened_and_what_to_do(
    status: int, location: str | None, words: str | None
) -> None:
    if words is None:
        assert explain_status(status, location) == (None, None)
    else:
        kind = kind_of_status(status)
        assert explain_status(status, location) == (kind, f"The receiver answered {words}. {kind.advice}")


@given(st.text(st.characters()), st.integers(1, 50))
def test_foreign_text_is_sanitized(text: str, limit: int) -> None:
    shown = plain(text, limit)
    shown.encode("utf-8")
    assert shown.isprintable()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("12345", "12345"),
        ("123456", "12345…"),
        ("\ud800", "\\ud800"),
        ("a\nb", "a\\x0ab"),
        ("\u200b", "\\x200b"),
        ("größe", "größe"),
    ],
)
def test_unprintable_characters_are_escaped_and_long_text_is_cut(text: str, shown: str) -> None:
    assert plain(text, 5) == shown


@given(st.text(max_size=80), st.floats(0, 1e10))
def test_any_retry_after_is_seconds_or_nothing(value: str, now: float) -> None:
    seconds = parse_retry_after(value, now)
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("5", 5.0),
        (" 5 ", 5.0),
        ("0.25", 0.25),
        ("Wed, 21 Oct 2015 07:28:30 GMT", 30.0),
        ("Wed, 21 Oct 2015 09:28:30 +0200", 30.0),
        ("Wednesday, 21-Oct-15 07:28:30 GMT", 30.0),
        ("Wed Oct 21 07:28:30 2015", 30.0),
        ("Wed, 21 Oct 2015 07:27:00 GMT", 0.0),
        ("Wed, 21 Oct 2015 07:28:30", 30.0),
        ("5" + " " * 200, 5.0),
        ("0" * 63 + "5", 5.0),
        ("0" * 64 + "5", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("", None),
    ],
)
def test_retry_after_in_its_forms(value: str, seconds: float | None) -> None:
    assert parse_retry_after(value, 1445412480.0) == seconds


@pytest.fixture
def far_east(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process whose local time is not UTC."""
    with monkeypatch.context() as changed:
        changed.setenv("TZ", "XYZ-9")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("far_east")
def test_a_date_without_a_zone_is_gmt_in_any_local_time_zone() -> None:
    assert parse_retry_after("Wed, 21 Oct 2015 07:28:30", 1445412480.0) == 30.0
