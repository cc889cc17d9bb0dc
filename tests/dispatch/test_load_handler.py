"""What a lane learns from a load of which some deliveries are left out."""

from __future__ import annotations

from uuid import UUID

import pytest

from angarium.core.keyring import Keyring
from angarium.core.lane import Load, Send
from angarium.core.nouns import State
from angarium.dispatch.lane_registry import DispatchLimits, LaneRegistry
from angarium.dispatch.load_handler import LoadHandler
from angarium.store.load import Loaded, Wanted
from angarium.store.shard import SHARDS, shard_of
from tests.kit.clock import ManualClock

APP, ENDPOINT = UUID(int=1), UUID(int=2)
WINDOW = 8


def row(number: int, now: float) -> Loaded:
    return Loaded(
        ENDPOINT, UUID(int=number), State.PENDING, 0, 0, now, None, "a", b"{}", now + 60, False, None, True
    )


@pytest.mark.parametrize(
    ("found", "parked", "more"),
    [
        (WINDOW, [], True),
        (WINDOW - 1, [], False),
        (WINDOW, [3], True),
        (WINDOW, [1, 2, 8], True),
        (WINDOW - 1, [3], False),
        (WINDOW, range(1, WINDOW + 1), False),
    ],
)
def test_a_lane_loads_on_after_a_full_load_of_which_parked_deliveries_are_left_out(
    found: int, parked: list[int], more: bool
) -> None:
    """Parked deliveries are not sent, and do not hide those after them. Of a load in which all are parked
    nothing follows, so that the lane does not load the same ones again and again."""
    clock = ManualClock()
    now = clock.now()
    registry = LaneRegistry(clock, DispatchLimits(in_flight=WINDOW, window=WINDOW))
    registry.owned.update(dict.fromkeys(range(SHARDS), now))
    left_out = {(ENDPOINT, UUID(int=number)) for number in parked}
    handler = LoadHandler(registry, clock, {}, Keyring([b"k" * 32]), left_out)
    lane = registry.open(APP, ENDPOINT).lane
    lane.hint(now, since=1)
    asked = lane.turn(now)
    assert isinstance(asked, Load)
    wanted = Wanted(ENDPOINT, shard_of(ENDPOINT), False, asked.count, asked.after)
    assert asked.count == WINDOW
    handler.loaded([wanted], [row(number, now) for number in range(1, found + 1)], {})
    sent = []
    while isinstance(turn := lane.turn(now), Send):
        sent.append(turn.queued.message_id)
        lane.answered(sent[-1], delivered=True, overload=False, pause=None, now=now)
        lane.completed(sent[-1], None)
    assert sent == [UUID(int=number) for number in range(1, found + 1) if number not in parked]
    assert isinstance(turn, Load) == more
