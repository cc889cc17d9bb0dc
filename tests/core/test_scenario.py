"""Scenarios: texts filled in, values made, conditions, and what a profile may not say."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from angarium import profiles
from angarium.core.profile import ProfileError, read
from angarium.core.scenario import fill, holds, make, words

VALUES: dict[str, Any] = {
    "qty": 7,
    "symbol": "AAPL",
    "flag": True,
    "context": {"prompt": "a cat"},
    "none": None,
}


def test_a_placeholder_alone_becomes_a_value_and_within_text_becomes_text() -> None:
    template = {
        "a": "{qty}",
        "b": "x{qty}y",
        "c": ["{context.prompt}", "{flag}", "{flag}!"],
        "d": 1,
        "e": "{none}",
    }
    expected = {"a": 7, "b": "x7y", "c": ["a cat", True, "true!"], "d": 1, "e": None}
    assert fill(template, VALUES) == expected


def test_members_without_a_value_are_left_out() -> None:
    assert fill({"a": "{missing}", "b": ["{missing}", 1], "c": "<{missing}>"}, VALUES) == {
        "b": [1],
        "c": "<>",
    }
    assert fill("{missing}", VALUES) is None
    assert fill({"a": "{qty.more}"}, VALUES) == {}


def test_values_of_a_caller_are_not_templates_themselves() -> None:
    assert fill({"a": "<{b}>", "c": "{b}"}, {"b": "{d}", "d": 1}) == {"a": "<{d}>", "c": "{d}"}


def test_generated_values_are_strings() -> None:
    def entropy(size: int) -> bytes:
        return bytes(range(size))

    assert make("ord_{random16}", {}, now="", entropy=entropy) == "ord_0123456789abcdef"
    assert make("{uuid}", {}, now="", entropy=entropy) == "00010203-0405-4607-8809-0a0b0c0d0e0f"
    assert make("{now} {qty} {missing}", VALUES, now="2025", entropy=entropy) == "2025 7 "


@pytest.mark.parametrize(
    ("when", "so"),
    [
        ({}, True),
        ({"symbol": "AAPL"}, True),
        ({"symbol": "REJECT"}, False),
        ({"symbol": ["REJECT", "AAPL"]}, True),
        ({"symbol": "AAPL", "qty": 8}, False),
        ({"qty": {"below": 10, "above": 0}}, True),
        ({"qty": {"below": 7}}, False),
        ({"qty": {"least": 7, "most": 7}}, True),
        ({"symbol": {"not": "AAPL"}}, False),
        ({"symbol": {"not": ["REJECT", "CANCEL"]}}, True),
        ({"missing": {"below": 10}}, False),
        ({"symbol": {"below": 10}}, False),
        ({"missing": {"not": "x"}}, True),
        ({"context.prompt": "a cat"}, True),
    ],
)
def test_conditions_are_evaluated(when: dict[str, Any], so: bool) -> None:
    assert holds(when, VALUES) is so


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({"type": "a.b", "when": {"x": {"under": 1}}}, "'under' is not a comparison"),
        ({"type": "a.b", "after": "soon"}, "'soon' is not a duration"),
        ({"type": "a.c"}, "'a.c' is not one of the events"),
    ],
)
def test_a_profile_with_an_impossible_step_is_refused(step: dict[str, Any], words: str) -> None:
    data: dict[str, Any] = msgspec.to_builtins(profiles.load("standard"))
    data |= {"events": [{"name": "a.b", "description": "x"}]}
    data |= {"scenarios": [{"name": "x", "path": "/x", "steps": [{"type": "a.b"}, step]}]}
    with pytest.raises(ProfileError) as refused:
        read(data)
    assert words in refused.value.words
    assert refused.value.where[:4] == ("scenarios", 0, "steps", 1)


def test_conditions_are_described() -> None:
    when = {"symbol": {"not": ["REJECT", "CANCEL"]}, "credits": {"below": 10, "above": 0}, "mode": "x"}
    assert words(when) == (
        "`symbol` is not `REJECT` or `CANCEL` and `credits` is below `10` and `credits` is above `0`"
        " and `mode` is `x`"
    )
