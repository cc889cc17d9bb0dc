"""Room for requests in flight, of which endpoints that fail cannot take all.

- Failing endpoints together have half of the room and `FAILING_STARTS` starts a second. Those that would
  start more wait in turn; one that owes a test or a manual attempt waits before the others.
- The last eighth is for endpoints with nothing in flight that answered lately. What hangs without being
  known to fail, or takes more than its share, fills no more than the rest.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from angarium.core.hand import NEVER
from angarium.core.lane import Lane
from angarium.core.rate import RateWindow
from angarium.dispatch.post import Post, RoomWait

FAILING_STARTS: Final = 500
"""A second, of all failing endpoints of a process: about a tenth of what it can send."""

BUNCH: Final = 10  # posts that are woken at a time


class Room:
    """Counts requests in flight; `total` bounds them."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._reserve = total // 8
        self._failing_total = max(1, total // 2)
        self._in_flight = 0
        self._failing = 0
        self._starts = RateWindow(FAILING_STARTS)
        self._failing_posts: deque[Post] = deque()
        self._others: deque[Post] = deque()

    @property
    def full(self) -> bool:
        """Whether nothing more may start."""
        return self._in_flight >= self._total

    def admits(self, post: Post, now: float) -> bool:
        """Whether the post's lane may start a request now, as far as others are concerned."""
        lane = post.lane
        if lane.failing:
            return (post.admitted or not self._failing_posts) and self._failing_free(now)
        if self._total - self._in_flight > self._reserve:
            return True
        return lane.proven and not lane.in_flight and not self.full

    def wait(self, post: Post) -> None:
        """The post's lane is not admitted; it is among those to be woken when there is room."""
        lane = post.lane
        if lane.failing and lane.urgent and post.waits is not RoomWait.IN_FRONT:
            if post.waits is RoomWait.IN_TURN:
                self._forget(post)
            post.waits = RoomWait.IN_FRONT
            self._failing_posts.appendleft(post)
        elif post.waits is RoomWait.NOT:
            post.waits = RoomWait.IN_TURN
            (self._failing_posts if lane.failing else self._others).append(post)

    def started(self, lane: Lane, now: float) -> bool:
        """A request starts; returns what to tell `ended`."""
        self._in_flight += 1
        if lane.failing:
            self._failing += 1
            self._starts.note(now)
        return lane.failing

    def ended(self, failing: bool) -> None:
        """A request is over."""
        self._in_flight -= 1
        self._failing -= failing

    def woken(self, now: float) -> list[Post]:
        """Posts for whose lanes there may be room again. One that does not go has to wait anew."""
        posts: list[Post] = []
        free = self._total - self._in_flight - self._reserve
        for waiting, count in (
            (self._others, free),
            (self._failing_posts, self._failing_total - self._failing if self._failing_free(now) else 0),
        ):
            for _ in range(min(count, len(waiting), BUNCH)):
                post = waiting.popleft()
                post.waits = RoomWait.NOT
                post.admitted = True
                posts.append(post)
        return posts

    @property
    def waited_for(self) -> bool:
        """Whether somebody waits for room."""
        return bool(self._others or self._failing_posts)

    @property
    def next_at(self) -> float:
        """When a failing endpoint may start its next request; NEVER: not before another ends."""
        if not self._failing_posts or self._failing >= self._failing_total:
            return NEVER
        return self._starts.free_at()

    def clock_set(self, by: float) -> None:
        """The clock was set by so many seconds."""
        self._starts.clock_set(by)

    def _forget(self, post: Post) -> None:
        """The post does not wait any more."""
        for waiting in (self._others, self._failing_posts):
            if post in waiting:
                waiting.remove(post)

    def _failing_free(self, now: float) -> bool:
        return not self.full and self._failing < self._failing_total and self._starts.free_at() <= now
