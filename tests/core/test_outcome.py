"""Judging answers, and the words for them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angarium.core.outcome import MAX_PAUSE, Answer, Verdict, explain_status, judge, parse_retry_after, plain


def answer(status: int = 0, code: str | None = None, retry_after: float | None = None) -> Answer:
    return Answer(status, code, None, None, 1, retry_after)


def test_only_2xx_delivers_and_only_410_is_gone() -> None:
    for status in range(1, 1000):
        verdict = judge(answer(status)).verdict
        if status in range(200, 300):
            assert verdict is Verdict.DELIVERED, status
        else:
            assert verdict is (Verdict.GONE if status == 410 else Verdict.RETRY), status


@pytest.mark.parametrize(
    ("control", "verdict"),
    [("disable", Verdict.GONE), ("abort-message", Verdict.ABORTED), ("nonsense", Verdict.RETRY)],
)
def test_a_failing_receiver_may_say_more_in_a_header(control: str, verdict: Verdict) -> None:
    assert judge(Answer(500, None, None, None, 1, control=control)).verdict is verdict
    assert judge(Answer(200, None, None, None, 1, control=control)).verdict is Verdict.DELIVERED


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_receiver_in_trouble_slows_its_lane(status: int) -> None:
    assert judge(answer(status)).overload


@pytest.mark.parametrize("status", [200, 301, 400, 404, 410, 500, 501])
def test_an_ordinary_answer_does_not(status: int) -> None:
    assert not judge(answer(status)).overload


@pytest.mark.parametrize("code", ["timeout", "connect_refused", "connect_failed", "dns", "reset", "tls"])
def test_no_connection_slows_the_lane(code: str) -> None:
    assert judge(answer(0, code)).overload
    assert judge(answer(0, code)).verdict is Verdict.RETRY


@pytest.mark.parametrize("code", ["protocol", "too_large", "bad_request", "internal"])
def test_a_failure_of_one_request_does_not(code: str) -> None:
    assert not judge(answer(0, code)).overload


def test_our_own_rules_refuse() -> None:
    assert judge(answer(0, "refused_address")).verdict is Verdict.REFUSED


def test_a_pause_is_capped_and_only_a_failing_receiver_gets_one() -> None:
    assert judge(answer(503, retry_after=7.5)).pause == 7.5
    assert judge(answer(503, retry_after=0.25)).pause == 0.25
    assert judge(answer(503, retry_after=-5.0)).pause == 0.0
    assert judge(answer(400, retry_after=1e9)).pause == MAX_PAUSE
    assert judge(answer(200, retry_after=9.0)).pause is None
    assert judge(answer(500)).pause is None


@given(st.integers(100, 999), st.one_of(st.none(), st.text()))
def test_every_failing_status_has_a_code_and_words(status: int, location: str | None) -> None:
    code, words = explain_status(status, location)
    if 200 <= status <= 299:
        assert code is None
        assert words is None
        return
    assert code == ("redirect" if 300 <= status <= 399 else f"http_{status}")
    assert words is not None
    assert str(status) in words
    assert words.endswith(".")
    assert words.isprintable()
    words.encode("utf-8")


@given(st.text(st.characters()), st.integers(1, 50))
def test_foreign_text_becomes_plain(text: str, limit: int) -> None:
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
def test_what_cannot_be_shown_is_written_as_an_escape_and_what_is_too_long_is_cut(
    text: str, shown: str
) -> None:
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
