"""Limits requests in flight, so that failing endpoints cannot use up the limit.

- Failing endpoints together get half of the limit and `FAILING_STARTS` starts a second. Others of them wait
  in a queue. An endpoint with a test or a manual attempt waits at the front.
- The last eighth is for endpoints with nothing in flight that answered their last attempt. Endpoints that
  hang but are not yet known to fail, or that use more than their share, cannot use it.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from angarium.core.lane import Lane
from angarium.core.lane_queue import NEVER
from angarium.core.rate import SLACK, RateWindow
from angarium.dispatch.active_lane import ActiveLane, RoomWait

FAILING_STARTS: Final = 500
"""Starts a second of all failing endpoints of a process: about a tenth of what it can send."""

BUNCH: Final = 10  # lanes that are woken at a time
RELEASE: Final = SLACK
"""Seconds between two releases of failing endpoints that wait. Those released together share wake-ups and
commits, which cost an idle processor more than the requests do."""


class Room:
    """Counts requests in flight, at most `total`."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._reserve = total // 8
        self._failing_total = max(1, total // 2)
        self._in_flight = 0
        self._failing = 0
        self._starts = RateWindow(FAILING_STARTS)
        self._release_at = 0.0  # of failing lanes
        self._failing_lanes: deque[ActiveLane] = deque()
        self._others: deque[ActiveLane] = deque()

    @property
    def use(self) -> tuple[int, int, int]:
        """Requests in flight, those of failing endpoints among them, and the limit."""
        return self._in_flight, self._failing, self._total

    @property
    def full(self) -> bool:
        """Whether nothing more may start."""
        return self._in_flight >= self._total

    def admits(self, active: ActiveLane, now: float) -> bool:
        """Whether the limit allows the lane to start a request now."""
        lane = active.lane
        if lane.failing:
            return (active.admitted or not self._failing_lanes) and self._failing_free(now)
        if self._total - self._in_flight > self._reserve:
            return True
        return lane.proven and not lane.in_flight and not self.full

    def wait(self, active: ActiveLane) -> None:
        """Queue a lane that is not admitted. It is woken when there is room."""
        lane = active.lane
        if lane.failing and lane.urgent and active.waits is not RoomWait.IN_FRONT:
            if active.waits is RoomWait.IN_TURN:
                self._forget(active)
            active.waits = RoomWait.IN_FRONT
            self._failing_lanes.appendleft(active)
        elif active.waits is RoomWait.NOT:
            active.waits = RoomWait.IN_TURN
            (self._failing_lanes if lane.failing else self._others).append(active)

    def started(self, lane: Lane, now: float) -> bool:
        """A request starts. Pass the result to `ended`."""
        self._in_flight += 1
        if lane.failing:
            self._failing += 1
            self._starts.note(now)
        return lane.failing

    def ended(self, failing: bool) -> bool:
        """A request ended. Returns whether a lane that waits may start because of that."""
        bounded = self.full or self._failing >= self._failing_total
        self._in_flight -= 1
        self._failing -= failing
        return bool(self._others) or (bounded and bool(self._failing_lanes))

    def woken(self, now: float) -> list[ActiveLane]:
        """Lanes that may have room now. One that does not start queues again."""
        lanes: list[ActiveLane] = []
        free = self._total - self._in_flight - self._reserve
        failing = 0
        if now >= self._release_at and self._failing_free(now):
            failing = self._failing_total - self._failing
            self._release_at = now + RELEASE
        for waiting, count in ((self._others, free), (self._failing_lanes, failing)):
            for _ in range(min(count, len(waiting), BUNCH)):
                active = waiting.popleft()
                active.waits = RoomWait.NOT
                active.admitted = True
                lanes.append(active)
        return lanes

    @property
    def next_at(self) -> float:
        """When a failing endpoint may start the next request; NEVER: not before another request ends."""
        if not self._failing_lanes or self._failing >= self._failing_total:
            return NEVER
        return max(self._starts.free_at(), self._release_at)

    def clock_set(self, by: float) -> None:
        """The clock was set by `by` seconds."""
        self._starts.clock_set(by)
        self._release_at += by

    def _forget(self, active: ActiveLane) -> None:
        """Remove the lane from the queues."""
        for waiting in (self._others, self._failing_lanes):
            if active in waiting:
                waiting.remove(active)

    def _failing_free(self, now: float) -> bool:
        return not self.full and self._failing < self._failing_total and self._starts.free_at() <= now
