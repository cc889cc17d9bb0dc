"""The read position of a lane: forward with each load, and back to what is not in memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from angarium.core.read_position import FIRST, LAST, START, ReadPosition


def at(place: int) -> ReadPosition:
    """A position behind this place."""
    position = ReadPosition()
    position.begin()
    position.advance(place)
    return position


def test_the_first_load_reads_from_the_start_and_the_next_continues() -> None:
    position = ReadPosition()
    assert position.begin() == START < FIRST
    for place in (3, 5, 9):
        position.advance(place)
    assert position.begin() == 9


def test_deliveries_that_are_not_in_memory_are_read_again() -> None:
    position = at(9)
    position.back_to(10)
    assert position.begin() == 9
    position.back_to(9)
    assert position.begin() == 8
    position.back_to(LAST)
    assert position.begin() == 8
    position.back_to(FIRST)
    assert position.begin() == START


def test_a_load_does_not_skip_messages_committed_during_it() -> None:
    position = at(2)
    position.begin()
    position.back_to(5)
    position.advance(3)
    position.advance(8)
    assert position.after == 4
    position.begin()  # it was read in the meantime
    position.advance(8)
    assert position.after == 8


def test_a_message_that_a_load_returned_has_passed_even_if_an_earlier_one_must_be_read_again() -> None:
    position = at(2)
    position.begin()
    position.back_to(5)
    position.reach(8)
    position.advance(8)
    assert position.after == 4
    assert [position.passed(place) for place in (4, 5, 8, 9)] == [True, True, True, False]


def test_a_delivery_at_place_zero_does_not_move_the_position() -> None:
    position = at(FIRST)
    assert position.after == START
    assert not position.passed(FIRST)
    position.advance(1)
    assert position.passed(FIRST)


@given(st.lists(st.tuples(st.sampled_from(["begin", "advance", "back"]), st.integers(0, 20)), max_size=30))
def test_a_running_load_does_not_skip_deliveries_that_are_not_in_memory(
    steps: list[tuple[str, int]],
) -> None:
    position, not_in_hand = ReadPosition(), LAST
    for step, place in steps:
        if step == "begin":
            assert position.begin() < not_in_hand
            not_in_hand = LAST
        elif step == "advance":
            position.advance(place)
        else:
            position.back_to(place)
            not_in_hand = min(not_in_hand, place)
        assert position.after < not_in_hand
