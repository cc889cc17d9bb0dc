"""Which pattern covers which event type, and what the names of a message may look like."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angarium.core.patterns import covering, covers, is_channel, is_event_type, is_tag, is_uid, is_wildcard

segments = st.lists(st.text("aZ0-_", min_size=1, max_size=4), min_size=1, max_size=4)
LETTERS = "abcxyzABCXYZ0189"


@given(segments, segments)
def test_a_wildcard_covers_names_with_at_least_one_more_segment(prefix: list[str], name: list[str]) -> None:
    wanted = name[: len(prefix)] == prefix and len(name) > len(prefix)
    assert covers([".".join(prefix) + ".*"], ".".join(name)) is wanted
    assert covers([".".join(prefix)], ".".join(name)) is (prefix == name)
    assert covers(["*"], ".".join(name))
    assert covers(None, ".".join(name))
    assert not covers([], ".".join(name))
    assert covers(["other", ".".join(prefix) + ".*"], ".".join(name)) is (wanted or name == ["other"])


def test_the_patterns_of_a_name_come_nearest_first() -> None:
    assert covering("a.b.c") == ["a.b.c", "a.b.*", "a.*", "*"]
    assert covering("a") == ["a", "*"]
    assert covering(".a") == [".a", "*"]


@pytest.mark.parametrize(
    ("text", "wildcard"),
    [
        ("*", True),
        ("order.*", True),
        ("order.filled.*", True),
        ("o-r_d.*", True),
        ("", False),
        (".*", False),
        ("order", False),
        ("order*", False),
        ("order.**", False),
        ("*.filled", False),
        ("order.*.filled", False),
        ("order..*", False),
        (".order.*", False),
        ("a..b.*", False),
        ("or der.*", False),
        ("order.x", False),
        ("**", False),
        ("a" * 256 + ".*", True),
        ("a" * 257 + ".*", False),
    ],
)
def test_a_wildcard_is_a_star_after_whole_segments(text: str, wildcard: bool) -> None:
    assert is_wildcard(text) is wildcard


@pytest.mark.parametrize(
    ("rule", "letters", "most"),
    [
        (is_event_type, LETTERS + "-_.", 256),
        (is_channel, LETTERS + "-_.:+", 128),
        (is_tag, LETTERS + "-_./\\#", 128),
    ],
)
def test_names_have_a_set_of_characters_and_a_maximum_length(rule: object, letters: str, most: int) -> None:
    assert callable(rule)
    for code in range(256):
        assert rule(chr(code)) is (chr(code) in letters or (chr(code).isascii() and chr(code).isalnum()))
    assert rule("a" * most)
    assert not rule("a" * (most + 1))
    for wrong in ("", "a b", "a\n", "٣"):
        assert not rule(wrong)


def test_an_own_id_does_not_look_like_a_generated_id() -> None:
    assert is_uid("order-1", "ep_")
    assert is_uid("msg_1", "ep_")
    assert is_uid("x" * 256, "ep_")
    for wrong in ("ep_1", "ep_", "", "a b", "x" * 257):
        assert not is_uid(wrong, "ep_")
