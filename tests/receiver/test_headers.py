"""Headers in every form that a framework passes: which are read, and which are refused with which error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from angarium.receiver.errors import BadFormat, MissingHeader
from angarium.receiver.headers import Headers


@pytest.mark.parametrize(
    "given",
    [
        {"X-One": "a"},
        {"x-ONE": " a "},
        {b"X-One": b"a"},
        {"x-one": b" a\t"},
        {"x-one": ["a"]},
        {"x-one": ("a", "a")},
        {"x-one": ["", "a", " "]},
        {"x-one": "a", None: "b", 5: "c"},
        [("X-One", "a"), ("x-one", "a")],
    ],
)
def test_a_value_is_found_in_every_form_of_headers(given: Any) -> None:
    headers = Headers(given)
    assert headers.one("X-ONE") == headers.need("x-one") == "a"
    assert set(headers.need_any("x-One")) == {"a"}


def test_pairs_may_be_read_only_once() -> None:
    headers = Headers(iter([("X-One", "a"), ("X-Two", "b")]))
    assert [headers.one("x-one"), headers.one("x-one"), headers.one("x-two")] == ["a", "a", "b"]


@pytest.mark.parametrize(
    "given", [{}, [], {"x-one": ""}, {"x-one": []}, {"x-one": [" ", b""]}, {"x-two": "a"}]
)
def test_a_header_without_a_value_is_missing(given: Any) -> None:
    headers = Headers(given)
    assert headers.one("X-One") is None
    assert headers.every("X-One") == []
    for need in (headers.need, headers.need_any):
        with pytest.raises(MissingHeader, match=r"^the header X-One is missing$"):
            need("X-One")


def test_values_keep_their_order_and_different_ones_are_refused_where_one_is_required() -> None:
    headers = Headers([("X-One", "b"), ("x-two", "c"), (b"x-one", [b"a", "b"])])
    assert headers.every("x-one") == headers.need_any("x-one") == ["b", "a", "b"]
    for read in (headers.one, headers.need):
        with pytest.raises(BadFormat, match=r"^the header x-one is repeated with different values$"):
            read("x-one")


@pytest.mark.parametrize("number", [0, 7, 1_750_000_000, -5, 10**15 - 1, 1 - 10**15])
def test_a_number_is_read_as_its_digits(number: int) -> None:
    assert Headers({"x-one": number}).one("x-one") == str(number)


@pytest.mark.parametrize(
    "value",
    [
        None,
        1.5,
        True,
        False,
        10**15,
        -(10**15),
        pytest.param(10**5000, id="huge"),
        {},
        object(),
        [None],
        [["a"]],
    ],
)
def test_a_value_that_is_not_text_is_refused_with_the_name_of_its_header(value: Any) -> None:
    headers = Headers({"x-one": value, "x-two": "a"})
    with pytest.raises(BadFormat, match=r"^the header X-One is not text$"):
        headers.one("X-One")
    assert headers.one("x-two") == "a", "another header is none of its business"


def test_bytes_are_read_as_latin_1_as_servers_do() -> None:
    assert Headers({b"x-\xe9": b"caf\xe9"}).one("x-é") == "café"
    assert Headers({b"x-\xc9": b"a"}).one("x-é") == "a"


class Broken:
    def items(self) -> Iterator[Any]:
        raise RuntimeError("no")


@pytest.mark.parametrize("given", [None, 5, "ab", [("a",)], [1], Broken(), object()])
def test_an_object_that_is_not_headers_is_refused(given: Any) -> None:
    with pytest.raises(BadFormat, match=r"^the headers are neither a mapping nor pairs$"):
        Headers(given)
