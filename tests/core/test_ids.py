"""Identifiers: UUIDv7 whose text sorts by time, and the ranges of ids that were made in a time."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angarium.core import ids

NOW = 1_764_334_500.123456
RANDOM = bytes(range(1, 9))

micros = st.integers(0, (2**48 - 1) * 1000 + 999)
entropy = st.binary(min_size=8, max_size=16)
uuids = st.builds(ids.at, micros, entropy)


def test_an_id_is_a_uuid_of_version_7() -> None:
    made = ids.new(NOW, RANDOM)
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert made.int >> 80 == 1_764_334_500_123  # milliseconds
    assert made.int & (1 << 62) - 1 == int.from_bytes(RANDOM, "big") & (1 << 62) - 1
    assert made == ids.at(1_764_334_500_123_456, RANDOM)
    for noise in (b"\0" * 8, b"\xff" * 8):
        assert ids.new(NOW, noise).variant == made.variant
        assert ids.new(NOW, noise).int & (1 << 62) - 1 == int.from_bytes(noise, "big") & (1 << 62) - 1
    assert ids.new(NOW, RANDOM + b"more") == made


def test_the_text_of_an_id_does_not_change() -> None:
    """Ids are kept by customers: what was given out must be found."""
    made = UUID("019abc00-1234-7abc-8def-0123456789ab")
    assert ids.text(ids.MESSAGE, made) == "msg_0EBzeFbVbbVfNdXr5uNtpUSuo2y"
    assert ids.text("", UUID(int=0)) == "0" * 27
    assert ids.text("", UUID(int=2**128 - 1)) == "aWgEPTl1tmebfsQzFP4bxs0IsoS"


@given(uuids, st.sampled_from([ids.APPLICATION, ids.ENDPOINT, ids.MESSAGE, ids.ATTEMPT, ids.TASK, ids.INBOX]))
def test_the_text_is_parsed_to_the_same_id_of_the_same_kind(made: UUID, prefix: str) -> None:
    text = ids.text(prefix, made)
    assert ids.parse(prefix, text) == made
    for other in (ids.APPLICATION, ids.ENDPOINT, ids.MESSAGE, ids.ATTEMPT, ids.TASK, ids.INBOX):
        if other != prefix:
            assert ids.parse(other, text) is None


@given(uuids, uuids)
def test_texts_sort_as_the_ids_do(one: UUID, other: UUID) -> None:
    assert (ids.text("", one) < ids.text("", other)) == (one < other)


@given(micros, micros, entropy, entropy)
def test_ids_sort_by_the_microsecond_they_were_made_in(one: int, other: int, a: bytes, b: bytes) -> None:
    if one < other:
        assert ids.at(one, a) < ids.at(other, b)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "msg_",
        "msg_" + "0" * 26,
        "msg_" + "0" * 28,
        "msg_" + "0" * 26 + "-",
        "msg_" + "0" * 26 + "é",
        "msg_" + "0" * 26 + "1",  # the last 32 bits are zero
        "msg_" + "z" * 27,  # more than 160 bits
        "MSG_" + "0" * 27,
        "ep_" + "0" * 27,
        " msg_" + "0" * 27,
        "msg_" + "0" * 27 + "\n",
    ],
)
def test_an_invalid_id_is_none(text: str) -> None:
    assert ids.parse(ids.MESSAGE, text) is None


def test_each_id_has_one_spelling() -> None:
    """A text that differs in one digit is another id or none."""
    made = ids.new(NOW, RANDOM)
    text = ids.text(ids.MESSAGE, made)
    for place in range(len("msg_"), len(text)):
        for digit in ids.ALPHABET:
            if digit != text[place]:
                assert ids.parse(ids.MESSAGE, text[:place] + digit + text[place + 1 :]) != made


@given(st.integers(0, 4_000_000_000_000_000), entropy)
def test_the_time_of_an_id_is_exact_to_the_microsecond(at: int, noise: bytes) -> None:
    assert ids.created_at(ids.at(at, noise)) == at / 1_000_000


@given(st.integers(1, 4_000_000_000_000_000), entropy)
def test_lowest_and_highest_enclose_the_ids_of_a_microsecond_and_no_others(at: int, noise: bytes) -> None:
    seconds = at / 1_000_000
    low, high = ids.lowest(seconds), ids.highest(seconds)
    assert low <= ids.at(at, noise) <= high
    assert ids.at(at - 1, noise) < low
    assert ids.at(at + 1, noise) > high
    assert ids.at(at, b"\0" * 8) >= low
    assert ids.at(at, b"\xff" * 8) <= high
    assert high.int + 1 == ids.lowest((at + 1) / 1_000_000).int or at % 1000 == 999


def test_times_outside_the_range_of_ids_are_clamped() -> None:
    assert ids.lowest(-5.0) == ids.lowest(0.0) == UUID(int=7 << 76)
    assert ids.highest(1e15).int >> 80 == 2**48 - 1


@given(st.integers(1000, 4_000_000_000_000_000), entropy)
def test_made_by_covers_the_whole_millisecond(at: int, noise: bytes) -> None:
    limit = ids.made_by(at / 1_000_000)
    end = at - at % 1000
    assert ids.at(end + 999, b"\xff" * 8) <= limit
    assert ids.at(end + 1000, b"\0" * 8) > limit
    assert limit.int + 1 == (at // 1000 + 1) << 80
