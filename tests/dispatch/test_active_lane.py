"""How long the work of a lane may wait for that of others."""

from __future__ import annotations

from uuid import UUID

from angarium.core.lane import Lane, Limits
from angarium.core.lane_queue import QueuedDelivery
from angarium.core.nouns import State
from angarium.dispatch.active_lane import PATIENCE, ActiveLane

NOW = 1000.0


def test_only_a_failing_endpoint_waits_and_not_with_a_test() -> None:
    lane = Lane(Limits(4, 32), 0.0)
    active = ActiveLane(UUID(int=1), UUID(int=2), 0, lane)
    assert active.patience == 0.0
    lane.fail()
    assert active.patience == PATIENCE
    assert lane.arrive(QueuedDelivery(UUID(int=3), NOW, State.PENDING, 0, None, b"{}", test=True), NOW)
    assert active.patience == 0.0
    lane.turn(NOW)
    assert active.patience == PATIENCE
    lane.answered(UUID(int=3), delivered=True, overload=False, pause=None, now=NOW)
    assert active.patience == 0.0
