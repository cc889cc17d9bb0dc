"""Who has said nothing for too long."""

from __future__ import annotations

from angarium.core.silence import Silences

LIMIT, MOST = 10.0, 2.0


def silences() -> Silences[str, int]:
    return Silences(LIMIT, MOST)


def test_an_owner_with_the_same_mark_for_longer_than_the_limit_is_silent() -> None:
    seen = silences()
    for second in range(11):
        assert seen.look({"a": 7, "b": second}, 100.0 + second) == {}
    assert seen.look({"a": 7, "b": 11}, 111.0) == {"a": 7}
    assert seen.look({"a": 7, "b": 12}, 112.0) == {"a": 7}


def test_any_other_mark_means_activity_even_an_earlier_one() -> None:
    seen = silences()
    for second in range(11):
        assert seen.look({"a": 7}, 100.0 + second) == {}
    assert seen.look({"a": 3}, 111.0) == {}
    for second in range(10):
        assert seen.look({"a": 3}, 112.0 + second) == {}
    assert seen.look({"a": 3}, 122.0) == {"a": 3}


def test_the_first_check_finds_no_silence() -> None:
    assert silences().look({"a": 7}, 1e9) == {}
    assert silences().look({"a": 7}, 0.0) == {}


def test_time_between_distant_checks_does_not_count() -> None:
    seen = silences()
    assert seen.look({"a": 7}, 0.0) == {}
    for gap in range(1, 6):  # each counts for two seconds
        assert seen.look({"a": 7}, gap * 1000.0) == {}
    assert seen.look({"a": 7}, 6000.0) == {"a": 7}


def test_an_owner_that_was_absent_starts_again() -> None:
    seen = silences()
    for second in range(10):
        assert seen.look({"a": 7}, float(second)) == {}
    assert seen.look({}, 10.0) == {}
    for second in range(11, 22):
        assert seen.look({"a": 7}, float(second)) == {}
    assert seen.look({"a": 7}, 22.0) == {"a": 7}


def test_an_owner_without_a_mark_is_never_silent() -> None:
    seen = silences()
    for second in range(30):
        assert seen.look({"a": None}, float(second)) == {}
