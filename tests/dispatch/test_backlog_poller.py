"""Looks at all lanes: what they tell a lane, and how often they are made."""

from __future__ import annotations

from uuid import UUID

import pytest

from angarium.core.keyring import Keyring
from angarium.core.lane import Load, Send
from angarium.core.lane_queue import QueuedDelivery
from angarium.core.nouns import State
from angarium.core.read_position import FIRST, SLACK, START
from angarium.dispatch.backlog_poller import EVERY, LONGEST, SHARE, SOONEST, horizon, pause
from angarium.dispatch.lane_registry import DispatchLimits, LaneRegistry
from angarium.dispatch.load_handler import LoadHandler
from angarium.store.load import LaneRef
from angarium.store.shard import SHARDS
from tests.kit.clock import ManualClock

APP, ENDPOINT = UUID(int=1), UUID(int=2)
READ = 20  # messages that the lane has read
PLACE = 3 * SLACK  # the place in the order of acceptance before that of the first


async def read_from(first: int | None, *, fifo: bool = False) -> int:
    """From where a lane that has done all up to the twentieth message reads after a look at all lanes, which
    found that message as the first that was never attempted."""
    clock = ManualClock()
    now = clock.now()
    registry = LaneRegistry(clock, DispatchLimits(in_flight=READ, window=READ))
    registry.owned.update(dict.fromkeys(range(SHARDS), now))
    handler = LoadHandler(registry, clock, {}, Keyring([b"k" * 32]))
    lane = registry.open(APP, ENDPOINT).lane
    lane.reconfigure(registry.limits(None, fifo=fifo), now)
    lane.hint(now, since=FIRST)
    asked = lane.turn(now)
    assert isinstance(asked, Load)
    assert asked.after == START
    rows = [
        QueuedDelivery(UUID(int=n), now, State.PENDING, 0, None, b"{}", "a", pending=True, seq=PLACE + n)
        for n in range(1, READ + 1)
    ]
    lane.loaded(rows, None, asked.count + 1)
    while isinstance(sent := lane.turn(now), Send):
        lane.answered(sent.queued.message_id, delivered=True, overload=False, pause=None, now=now)
        lane.completed(sent.queued.message_id, None)
    await handler.seen(
        [LaneRef(APP, ENDPOINT, now, True, None if first is None else UUID(int=first))], SOONEST
    )
    again = lane.turn(now)
    assert isinstance(again, Load)
    return again.after


@pytest.mark.parametrize(
    ("first", "after"),
    [(READ + 1, READ), (READ + 1000, READ), (READ - 3, READ - 4), (1, 0), (None, READ)],
)
async def test_a_scan_resets_a_lane_to_its_first_delivery(first: int | None, after: int) -> None:
    """What is before it is done, and an old snapshot may keep all of that in the table."""
    assert await read_from(first) == after


@pytest.mark.parametrize(("first", "after"), [(READ + 1, START), (1, START), (None, PLACE + READ - SLACK)])
async def test_a_scan_resets_a_first_in_first_out_lane_with_deliveries_to_the_start(
    first: int | None, after: int
) -> None:
    """It finds the first message, which need not be the first in the order of acceptance."""
    assert await read_from(first, fifo=True) == after


def test_scans_take_a_small_share_of_the_time() -> None:
    assert pause(0.0) == pause(EVERY * SHARE / 2) == EVERY
    assert pause(EVERY * SHARE * 3) == pytest.approx(3 * EVERY)
    assert pause(60.0) == LONGEST


@pytest.mark.parametrize("took", [0.0, 0.1, 0.7, 1.0, 3.0, 60.0, 600.0])
async def test_a_lane_is_open_before_its_delivery_is_due_however_long_a_look_takes(took: float) -> None:
    """The next look is over by then, or this one opens the lane and an idle lane stays open."""
    clock = ManualClock()
    now = clock.now()
    registry = LaneRegistry(clock, DispatchLimits())
    registry.owned.update(dict.fromkeys(range(SHARDS), now))
    handler = LoadHandler(registry, clock, {}, Keyring([b"k" * 32]))
    next_look_ends = pause(took) + 2 * took
    due = {UUID(int=n): now + next_look_ends * n / 10 for n in range(1, 20)}
    lanes = [LaneRef(APP, endpoint_id, due_at, False, None) for endpoint_id, due_at in due.items()]
    await handler.seen(lanes, horizon(took))
    opened = {active.endpoint_id for active in registry}
    assert {endpoint_id for endpoint_id, due_at in due.items() if due_at < now + next_look_ends} <= opened
