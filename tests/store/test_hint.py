"""Hints as they travel: what is written is read, and none is too long."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angarium.core.read_position import FIRST, LAST
from angarium.store.hint import (
    EVERYTHING,
    MAX_BYTES,
    MAX_HINTS,
    NONE,
    LaneWork,
    LookEverywhere,
    Work,
    accepted,
    lane_hint,
    read,
)

ZERO = "0" * 32
LANES = st.builds(LaneWork, st.uuids(), st.uuids(), st.uuids(), st.integers(FIRST, 2**63 - 1))


@given(st.lists(LANES, max_size=300))
def test_accepted_messages_are_encoded_by_lane(lanes: list[LaneWork]) -> None:
    hints = accepted(lanes)
    assert all(len(text) <= MAX_BYTES for text in hints)
    read_lanes: list[LaneWork] = []
    for text in hints:
        hint = read(text)
        assert isinstance(hint, Work)
        read_lanes += hint.lanes
    assert read_lanes == lanes


@pytest.mark.parametrize(("seq", "fit"), [(FIRST, 79), (2**63 - 1, 68)])
def test_a_hint_uses_the_space_that_it_has(seq: int, fit: int) -> None:
    lane = LaneWork(uuid4(), uuid4(), uuid4(), seq)
    assert len(accepted([lane] * fit)) == 1
    assert len(accepted([lane] * (fit + 1))) == 2
    assert len(accepted([lane] * fit * MAX_HINTS)) == MAX_HINTS
    assert accepted([lane] * (fit * MAX_HINTS + 1)) == [EVERYTHING]


def test_a_lane_with_work_that_is_not_new_names_no_message() -> None:
    app_id, endpoint_id = uuid4(), uuid4()
    assert read(lane_hint(app_id, endpoint_id)) == Work((LaneWork(app_id, endpoint_id, NONE, LAST),))


@pytest.mark.parametrize("text", ["", "w:", "w:1", f"w:{ZERO}.x", f"w:{ZERO}.{ZERO}.{ZERO}.x"])
def test_an_unreadable_hint_means_all_lanes(text: str) -> None:
    assert read(text) == LookEverywhere()


def test_a_message_without_a_place_has_none_in_the_hint() -> None:
    message = UUID(int=7)
    (text,) = accepted([LaneWork(UUID(int=1), UUID(int=2), message, FIRST)])
    assert text.count(".") == 2
    assert read(text) == Work((LaneWork(UUID(int=1), UUID(int=2), message, FIRST),))
