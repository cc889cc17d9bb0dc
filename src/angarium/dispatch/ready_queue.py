"""Queue of lanes that are ready, and timers of lanes that wait."""

from __future__ import annotations

import heapq
from collections import deque
from itertools import count

from angarium.core.lane_queue import NEVER
from angarium.dispatch.active_lane import ActiveLane


class ReadyQueue:
    """A queue of ready lanes and a heap of timers. Each lane is in the queue at most once."""

    def __init__(self) -> None:
        self._ready: deque[ActiveLane] = deque()
        self._timers: list[tuple[float, int, ActiveLane]] = []
        self._ticket = count()

    def __bool__(self) -> bool:
        return bool(self._ready)

    def mark(self, active: ActiveLane) -> None:
        """Give the lane a turn."""
        if not active.ready and not active.closed:
            active.ready = True
            self._ready.append(active)

    def next(self) -> ActiveLane:
        active = self._ready.popleft()
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
