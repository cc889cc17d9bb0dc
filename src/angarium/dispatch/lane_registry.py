"""Registry of the active lanes of our shards, with the memory that they use."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from angarium.clock import Clock
from angarium.core.lane import Lane, Limits
from angarium.core.lane_queue import QueuedDelivery
from angarium.core.nouns import State
from angarium.core.read_position import LAST
from angarium.dispatch.active_lane import ActiveLane
from angarium.dispatch.ready_queue import ReadyQueue
from angarium.store.accept import NewDelivery
from angarium.store.shard import shard_of

IDLE: Final = 60.0  # seconds until an idle lane may be closed
KEPT: Final = 5000  # lanes kept open even if idle, about 5 kB each, because opening one again is costly
NARROW: Final = 4  # deliveries a lane may hold while memory is short


@dataclass(frozen=True, slots=True)
class DispatchLimits:
    """Limits of a dispatcher."""

    in_flight: int = 64  # requests at once to one endpoint
    in_flight_total: int = 2000
    window: int = 512  # deliveries of one lane in memory
    held_bytes: int = 128 * 1024 * 1024  # deliveries in memory, of all lanes
    longest: float = 60.0  # seconds that an attempt can take; a stop waits for it


class LaneRegistry:
    """Lanes by endpoint, and the queue of lanes that are ready."""

    def __init__(self, clock: Clock, policy: DispatchLimits) -> None:
        self._clock = clock
        self._policy = policy
        self._lanes: dict[UUID, ActiveLane] = {}
        self._held_bytes = 0
        self.owned: dict[int, float] = {}  # shard -> since when it is ours
        self.ready_queue = ReadyQueue()
        self.wake = asyncio.Event()  # a lane is ready

    def __iter__(self) -> Iterator[ActiveLane]:
        return iter(list(self._lanes.values()))

    def get(self, endpoint_id: UUID) -> ActiveLane | None:
        return self._lanes.get(endpoint_id)

    def ours(self, endpoint_id: UUID) -> bool:
        """Whether the endpoint's lane is in one of our shards."""
        return shard_of(endpoint_id) in self.owned

    def open(self, app_id: UUID, endpoint_id: UUID) -> ActiveLane:
        """The active lane of an endpoint in one of our shards, opened if necessary."""
        active = self._lanes.get(endpoint_id)
        if active is None:
            shard = shard_of(endpoint_id)
            lane = Lane(self.limits(None, fifo=False), self.owned[shard])
            active = self._lanes[endpoint_id] = ActiveLane(app_id, endpoint_id, shard, lane)
            active.used_at = self._clock.now()
        return active

    def limits(self, rate: int | None, fifo: bool) -> Limits:
        """The limits of a lane whose endpoint has this rate and order."""
        return Limits(self._policy.in_flight, self._policy.window, rate, fifo)

    @property
    def held_bytes(self) -> int:
        """Bytes of memory of all waiting deliveries."""
        return self._held_bytes

    @property
    def short(self) -> bool:
        """Whether memory for deliveries is short."""
        return self._held_bytes > self._policy.held_bytes

    def window(self, lane: Lane) -> int | None:
        """How many deliveries a lane may hold now; None: as its limits say. Failing endpoints may use only
        half of the memory."""
        return (
            NARROW
            if self.short or (lane.failing and 2 * self._held_bytes > self._policy.held_bytes)
            else None
        )

    def news(self, active: ActiveLane, due_at: float, *, manual: bool = False, since: int = LAST) -> None:
        """The database has a delivery for the lane, due at `due_at` (see `Lane.hint`)."""
        active.lane.hint(due_at, manual=manual, since=since)
        self.mark(active)

    def arrive(self, one: NewDelivery, due_at: float, now: float, *, doubtful: bool) -> None:
        """Put an accepted delivery into its lane. `doubtful`: it may have been sent; the database knows."""
        active = self.open(one.app_id, one.endpoint_id)
        if one.revision > active.revision:
            active.revision = one.revision
            active.stale = active.stale or active.target is None or active.target.revision < one.revision
        if not one.fifo:
            active.unplaced()
        if doubtful or one.fifo or one.payload is None or (self.short and due_at <= now):
            active.lane.hint(due_at, since=active.lane.place(one.message_id, one.seq))
        else:
            queued = QueuedDelivery(
                one.message_id,
                due_at,
                State.PENDING,
                0,
                None,
                one.payload,
                one.event_type,
                test=one.test,
                content_type=one.content_type,
                pending=True,
                expires_at=one.expires_at,
                seq=one.seq,
                trace=one.trace,
            )
            active.lane.arrive(queued, now)
        self.mark(active)

    def mark(self, active: ActiveLane) -> None:
        """The lane changed. It gets a turn if it has anything to do."""
        if active.closed:
            return
        lane = active.lane
        self._held_bytes += lane.size - active.size
        active.size = lane.size
        if not active.ready and lane.wants:
            self.ready_queue.mark(active)
            self.wake.set()

    def clock_set(self, by: float) -> None:
        """The clock was set by `by` seconds: shift all stored times."""
        for shard in self.owned:
            self.owned[shard] += by
        for active in self:
            active.used_at += by
            active.lane.clock_set(by)
            self.mark(active)
        self.wake.set()

    def erased(self, message_id: UUID) -> None:
        """Drop a message from the memory of all lanes."""
        for active in self:
            if active.lane.forget(message_id):
                self.mark(active)

    def forget(self, active: ActiveLane) -> None:
        """Close the lane. Its deliveries stay in the database."""
        if not active.closed:
            active.closed = True
            self._held_bytes -= active.size
            self._lanes.pop(active.endpoint_id, None)

    def forget_shards(self, shards: Collection[int]) -> None:
        """Close the lanes of shards that are no longer ours."""
        for shard in shards:
            self.owned.pop(shard, None)
        for active in self:
            if active.shard in shards:
                self.forget(active)

    def forget_idle(self, horizon: float) -> None:
        """If there are too many lanes, close those that sent nothing recently and have nothing due within
        `horizon` seconds, in which the backlog poller looks again."""
        now = self._clock.now()
        surplus = len(self._lanes) - KEPT
        for active in self if surplus > 0 else ():
            if active.used_at < now - IDLE and active.lane.idle(now, horizon):
                self.forget(active)
                surplus -= 1
                if surplus <= 0:
                    return
