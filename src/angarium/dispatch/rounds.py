"""Whose turn it is: the lanes that may do something now, one after the other, and those that wait."""

from __future__ import annotations

import heapq
from collections import deque
from itertools import count

from angarium.core.hand import NEVER
from angarium.dispatch.post import Post


class Rounds:
    """A queue of ready lanes and a heap of timers. A lane is in the queue at most once."""

    def __init__(self) -> None:
        self._ready: deque[Post] = deque()
        self._timers: list[tuple[float, int, Post]] = []
        self._ticket = count()

    def __bool__(self) -> bool:
        return bool(self._ready)

    def mark(self, post: Post) -> None:
        """Something happened to the lane: it gets a turn."""
        if not post.ready and not post.closed:
            post.ready = True
            self._ready.append(post)

    def next(self) -> Post:
        post = self._ready.popleft()
        post.ready = False
        return post

    def wait(self, post: Post, until: float) -> None:
        """The lane gets a turn at that time; an earlier timer that is set suffices, for it asks again."""
        if until < post.wake_at:
            post.wake_at = until
            heapq.heappush(self._timers, (until, next(self._ticket), post))

    def tick(self, now: float) -> None:
        """Mark the lanes whose time has come."""
        while self._timers and self._timers[0][0] <= now:
            at, _, post = heapq.heappop(self._timers)
            if at == post.wake_at:
                post.wake_at = NEVER
                self.mark(post)

    @property
    def next_at(self) -> float:
        """When the next timer is due."""
        return self._timers[0][0] if self._timers else NEVER
