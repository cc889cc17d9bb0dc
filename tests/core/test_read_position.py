"""How far a lane has read: forwards with each load, and back to whatever is not in hand."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from angarium.core.read_position import FIRST, LAST, ReadPosition


def message(number: int) -> UUID:
    return UUID(int=number)


def at(number: int) -> ReadPosition:
    """A position behind the message of this number."""
    position = ReadPosition()
    position.begin()
    position.advance(message(number))
    return position


def test_the_first_load_reads_from_the_beginning_and_the_next_reads_on() -> None:
    position = ReadPosition()
    assert position.begin() == FIRST
    for number in (3, 5, 9):
        position.advance(message(number))
    assert position.begin() == message(9)


def test_what_is_not_in_hand_is_read_again() -> None:
    position = at(9)
    position.back_to(message(10))
    assert position.begin() == message(9)
    position.back_to(message(9))
    assert position.begin() == message(8)
    position.back_to(FIRST)
    assert position.begin() == FIRST


def test_a_load_does_not_pass_what_was_committed_while_it_was_under_way() -> None:
    position = at(2)
    position.begin()
    position.back_to(message(5))
    position.advance(message(3))
    position.advance(message(8))
    assert position.after == message(4)
    position.begin()  # it was read in the meantime
    position.advance(message(8))
    assert position.after == message(8)


@given(st.lists(st.tuples(st.sampled_from(["begin", "advance", "back"]), st.integers(1, 20)), max_size=30))
def test_what_is_not_in_hand_is_not_passed_by_the_load_under_way(
    steps: list[tuple[str, int]],
) -> None:
    position, not_in_hand = ReadPosition(), LAST
    for step, number in steps:
        if step == "begin":
            assert position.begin() < not_in_hand
            not_in_hand = LAST
        elif step == "advance":
            position.advance(message(number))
        else:
            position.back_to(message(number))
            not_in_hand = min(not_in_hand, message(number))
        assert position.after < not_in_hand
