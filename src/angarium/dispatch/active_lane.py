"""Active lane: the dispatcher's side of one lane, with the target of its attempts and its health."""

from __future__ import annotations

from enum import Enum, auto
from uuid import UUID

from angarium.core.allowance import THRESHOLD
from angarium.core.health import HEALTHY
from angarium.core.lane import Lane, Limits
from angarium.core.lane_queue import NEVER
from angarium.dispatch.target import EndpointTarget
from angarium.store.load import Config


class RoomWait(Enum):
    """Whether a lane waits for room that others use, and where in the queue."""

    NOT = auto()
    IN_TURN = auto()
    IN_FRONT = auto()


class Placing(Enum):
    """Whether deliveries of the lane must get their places in the order of acceptance before it goes on."""

    DONE = auto()
    WANTED = auto()
    UNDER_WAY = auto()


class ActiveLane:
    """One lane in service. Without a target, or with a stale one, nothing is sent until it is read."""

    __slots__ = (
        "admitted",
        "app_id",
        "closed",
        "endpoint_id",
        "halted",
        "health",
        "lane",
        "placing",
        "ready",
        "revision",
        "shard",
        "size",
        "stale",
        "target",
        "used_at",
        "waits",
        "wake_at",
    )

    def __init__(self, app_id: UUID, endpoint_id: UUID, shard: int, lane: Lane) -> None:
        self.app_id = app_id
        self.endpoint_id = endpoint_id
        self.shard = shard
        self.lane = lane
        self.target: EndpointTarget | None = None
        self.stale = True  # the target must be read (again) before the next attempt
        self.revision = 0  # the target must be at least this new
        self.closed = False  # its shard is not ours any more
        self.halted = False  # its endpoint is about to be disabled
        self.placing = Placing.DONE
        self.size = 0  # bytes of its payloads, as last counted
        self.ready = False  # in the queue of lanes to go round
        self.waits = RoomWait.NOT  # for room
        self.admitted = False  # was woken, for there is room
        self.wake_at = NEVER  # the timer that is set for it
        self.used_at = 0.0
        self.health = HEALTHY

    def reconfigure(self, config: Config, target: EndpointTarget, limits: Limits, now: float) -> None:
        """Take what was read from the table. Of the health, the table knows only what is completed: once
        something may have been sent, it is kept here until a new generation of the endpoint begins."""
        if self.target is None:
            self.health = config.health
            if config.health.failures >= THRESHOLD:
                self.lane.fail()
        elif target.generation != self.target.generation:
            self.health = config.health
            self.halted = False
            self.lane.renew()
        if not target.fifo:
            self.placing = Placing.DONE
        elif self.target is not None and not self.target.fifo:
            self.placing = Placing.WANTED
        self.target = target
        self.stale = target.revision < self.revision
        self.lane.reconfigure(limits, now)

    def unplaced(self) -> None:
        """The table has a delivery of the lane without a place in the order of acceptance."""
        if self.target is None or self.target.fifo:
            self.placing = Placing.WANTED

    @property
    def generation(self) -> int:
        """Of the endpoint's health, as far as it was read."""
        return 0 if self.target is None else self.target.generation
