"""Configuration files are read exactly, with the line of each value, and only within the limits."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from angarium.cli.configuration import text as module
from angarium.cli.configuration.fault import ConfigurationError
from angarium.cli.configuration.field import same
from angarium.cli.configuration.text import MAX_DEPTH, plain, read, written

STORABLE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | STORABLE,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(STORABLE, inner, max_size=4),
    max_leaves=20,
)


def refused(text: str | bytes, file: str = "a.yaml") -> str:
    with pytest.raises(ConfigurationError) as caught:
        read(text.encode() if isinstance(text, str) else text, file)
    return caught.value.detail


@given(VALUES)
def test_yaml_that_is_written_is_read_as_the_same_value(value: Any) -> None:
    assert same(read(written(value).encode(), "a").value, value)


@given(VALUES)
def test_json_is_read_as_the_same_value(value: Any) -> None:
    whole = {"a": value}
    for text in (json.dumps(whole), json.dumps(whole, indent=2, ensure_ascii=False)):
        assert same(read(text.encode(), "a").value, whole)


@pytest.mark.parametrize("pure", [False, True])
def test_plain_text_is_what_it_is_in_yaml_1_2(pure: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if pure:
        monkeypatch.setattr(module, "_LOADER", yaml.SafeLoader)
    given = b"a: no\nb: 2026-11-29\nc: 0777\nd: 1_000\ne: 12:30\nf: 1e3\ng: ~\nh: True\ni: '1'\nj:\nk: true\n"
    assert read(given, "a").value == {
        "a": "no", "b": "2026-11-29", "c": "0777", "d": "1_000", "e": "12:30",
        "f": 1000.0, "g": None, "h": "True", "i": "1", "j": None, "k": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "# a comment\na:\n  b:\n    - 1\n    - c: 2\n",
        '\n{"a":\n {"b": [\n 1,\n {"c": 2}]}}',
        "\na:\n  {b: [\n  1,\n  {c: 2}]}",
    ],
)
def test_each_value_has_the_line_where_it_is_written(text: str) -> None:
    places = read(text.encode(), "a.yaml").places
    lines = [
        places[path].line for path in [("a",), ("a", "b"), ("a", "b", 0), ("a", "b", 1), ("a", "b", 1, "c")]
    ]
    assert lines in ([2, 3, 4, 5, 5], [2, 3, 4, 5, 5])
    assert str(places["a", "b", 0]) == "a.yaml:4"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", "a.yaml:3: a is there twice; the first one is in line 1"),
        ('{"a": 1,\n "b": {"c": 1,\n "c": 2}}', "a.yaml:3: b.c is there twice; the first one is in line 2"),
        ("a: &x [1]\nb: *x\n", "a.yaml:1: a: the anchor &x is not accepted"),
        ("a: *x\n", "a.yaml:1: a: the alias *x is not accepted"),
        ("a: !!python/object:os.system {}\n", "a.yaml:1: a: the tag "),
        ("a: {b: 1}\n<<: {c: 2}\n", "a.yaml:2: the merge key << is not accepted"),
        ("a: 1\n---\nb: 2\n", "a.yaml:2: the file has a second document"),
        ("", "a.yaml:1: the file is empty"),
        ("# nothing\n", "the file is empty"),
        ("a: [1\nb: 2\n", "not YAML"),
        ("1: a\n", "a.yaml:1: the key 1 must be text; write it in quotes"),
        ("? [a]\n: b\n", "a key must be text"),
        ("a: 1e999\n", "a.yaml:1: a: the number is too large"),
        ("a: " + "9" * 1001, "too many digits"),
        (b"a: 1\nb: \xff\n", "a.yaml:2: the file is not UTF-8"),
        (r'{"a": "\ud800"}', "half of a surrogate pair"),
        (r'{"a": "\u0000"}', "NUL"),
        ('{"a": NaN}', "a.yaml:1: a: NaN is not JSON"),
        ("[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2), "nested more than 100 levels deep"),
        ("[" * 1_000_000, "nested more than 100 levels deep"),
        ("a: " + "[" * 1_000_000, "nested more than 100 levels deep"),
        ("[" + "1," * 1000 + "1]", "more than 1,000 values"),
        ("\n".join(f"- {n}" for n in range(1001)), "a.yaml:1000: the file has more than 1,000 values"),
        (b" " * (8 * 1024 * 1024 + 1), "at most 8,388,608 are accepted"),
    ],
    ids=range(24),
)
def test_what_cannot_be_read_is_refused_with_its_line(
    text: str | bytes, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_VALUES", 1000)
    assert words in refused(text)


def test_a_pair_of_escapes_in_json_is_one_character() -> None:
    assert read(rb'{"a": "\ud83d\ude00"}', "a").value == {"a": "\U0001f600"}
    assert plain("-0") == 0
