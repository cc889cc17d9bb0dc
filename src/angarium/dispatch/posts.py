"""The posts of the shards that are ours: opened, marked for a turn, forgotten, and counted in bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from angarium.clock import Clock
from angarium.core.lane import Lane, Limits
from angarium.core.read_position import LAST
from angarium.dispatch.post import Post
from angarium.dispatch.rounds import Rounds
from angarium.store.shard import shard_of

IDLE: Final = 60.0  # seconds until an idle lane may be forgotten
KEPT: Final = 5000  # idle lanes that are remembered all the same, some 5 kB each: opening one again costs
HORIZON: Final = 60.0  # seconds ahead for which lanes are kept in memory; later ones are found in time
NARROW: Final = 4  # deliveries a lane may hold while memory is short


@dataclass(frozen=True, slots=True)
class Policy:
    """How much is done at once."""

    in_flight: int = 64  # requests at once to one endpoint
    in_flight_total: int = 2000
    window: int = 512  # deliveries of one lane in memory
    held_bytes: int = 128 * 1024 * 1024  # deliveries in memory, of all lanes
    longest: float = 60.0  # seconds that an attempt can take, for a stop to wait


class Posts:
    """Lanes by endpoint, and whose turn it is."""

    def __init__(self, clock: Clock, policy: Policy) -> None:
        self._clock = clock
        self._policy = policy
        self._posts: dict[UUID, Post] = {}
        self._held_bytes = 0
        self.owned: dict[int, float] = {}  # shard -> since when it is ours
        self.rounds = Rounds()
        self.wake = asyncio.Event()  # somebody has a turn

    def __iter__(self) -> Iterator[Post]:
        return iter(list(self._posts.values()))

    def get(self, endpoint_id: UUID) -> Post | None:
        return self._posts.get(endpoint_id)

    def ours(self, endpoint_id: UUID) -> bool:
        """Whether the endpoint's lane is in a shard of ours."""
        return shard_of(endpoint_id) in self.owned

    def open(self, app_id: UUID, endpoint_id: UUID) -> Post:
        """The post of an endpoint of ours."""
        post = self._posts.get(endpoint_id)
        if post is None:
            shard = shard_of(endpoint_id)
            lane = Lane(self.limits(None, fifo=False), self.owned[shard])
            post = self._posts[endpoint_id] = Post(app_id, endpoint_id, shard, lane)
            post.used_at = self._clock.now()
        return post

    def limits(self, rate: int | None, fifo: bool) -> Limits:
        """The limits of a lane whose endpoint has this rate and order."""
        return Limits(self._policy.in_flight, self._policy.window, rate, fifo)

    @property
    def short(self) -> bool:
        """Whether memory for deliveries is short."""
        return self._held_bytes > self._policy.held_bytes

    def window(self, lane: Lane) -> int | None:
        """What a lane may hold now; None: what its limits say. Failing endpoints leave half of the memory to
        the others."""
        return (
            NARROW
            if self.short or (lane.failing and 2 * self._held_bytes > self._policy.held_bytes)
            else None
        )

    def news(self, post: Post, due_at: float, *, manual: bool = False, since: int = LAST) -> None:
        """The table has something for the lane, due at that time: see `Lane.hint`."""
        post.lane.hint(due_at, manual=manual, since=since)
        self.mark(post)

    def mark(self, post: Post) -> None:
        """Something happened to the lane: it gets a turn, if one could come to anything."""
        if post.closed:
            return
        lane = post.lane
        self._held_bytes += lane.size - post.size
        post.size = lane.size
        if not post.ready and lane.wants:
            self.rounds.mark(post)
            self.wake.set()

    def clock_set(self, by: float) -> None:
        """The clock was set by so many seconds: what is remembered stays as long ago as it was."""
        for shard in self.owned:
            self.owned[shard] += by
        for post in self:
            post.used_at += by
            post.lane.clock_set(by)
            self.mark(post)
        self.wake.set()

    def forget(self, post: Post) -> None:
        """Close the post; the table keeps what it owes."""
        if not post.closed:
            post.closed = True
            self._held_bytes -= post.size
            self._posts.pop(post.endpoint_id, None)

    def forget_shards(self, shards: Collection[int]) -> None:
        """Close the posts of shards that are not ours any more."""
        for shard in shards:
            self.owned.pop(shard, None)
        for post in self:
            if post.shard in shards:
                self.forget(post)

    def forget_idle(self) -> None:
        """Close posts that nothing was sent for lately, and nothing is due for soon, if they are many."""
        now = self._clock.now()
        surplus = len(self._posts) - KEPT
        for post in self if surplus > 0 else ():
            if post.used_at < now - IDLE and post.lane.idle(now, HORIZON):
                self.forget(post)
                surplus -= 1
                if surplus <= 0:
                    return
