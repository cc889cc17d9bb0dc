"""Queue of lanes that are ready, and timers of lanes that wait."""

from __future__ import annotations

import heapq
from collections import deque
from itertools import count
from typing import Final

from angarium.core.lane_queue import NEVER
from angarium.dispatch.active_lane import ActiveLane

OTHERS_FIRST: Final = 8
"""Turns of other lanes for each turn of a failing one, while both are ready. When the backlog is polled,
thousands of failing lanes become ready at once, and a healthy lane starts one request in each turn."""


class ReadyQueue:
    """Two queues of ready lanes, one of failing endpoints and one of the others, and a heap of timers. Each
    lane is in a queue at most once."""

    def __init__(self) -> None:
        self._others: deque[ActiveLane] = deque()
        self._failing: deque[ActiveLane] = deque()
        self._turns = 0  # of others, since a failing lane had one
        self._timers: list[tuple[float, int, ActiveLane]] = []
        self._ticket = count()

    def __bool__(self) -> bool:
        return bool(self._others or self._failing)

    def mark(self, active: ActiveLane) -> None:
        """Give the lane a turn."""
        if not active.ready and not active.closed:
            active.ready = True
            behind = active.lane.failing and not active.lane.urgent
            (self._failing if behind else self._others).append(active)

    def next(self) -> ActiveLane:
        """The lane whose turn it is. One must be ready."""
        if self._others and (self._turns < OTHERS_FIRST or not self._failing):
            self._turns += 1
            active = self._others.popleft()
        else:
            self._turns = 0
            active = self._failing.popleft()
        active.ready = False
        return active

    def wait(self, active: ActiveLane, until: float) -> None:
        """Give the lane a turn at that time. If an earlier timer is set, it is enough: the lane then asks
        again."""
        if until < active.wake_at:
            active.wake_at = until
            heapq.heappush(self._timers, (until, next(self._ticket), active))

    def tick(self, now: float) -> None:
        """Mark the lanes whose timers are due."""
        while self._timers and self._timers[0][0] <= now:
            at, _, active = heapq.heappop(self._timers)
            if at == active.wake_at:
                active.wake_at = NEVER
                self.mark(active)

    @property
    def next_at(self) -> float:
        """When the next timer is due."""
        return self._timers[0][0] if self._timers else NEVER
