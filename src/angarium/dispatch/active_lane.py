"""Holds what the dispatcher knows of one lane: its target, its health and its place in the queues."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final
from uuid import UUID

from angarium.core.allowance import THRESHOLD
from angarium.core.health import HEALTHY
from angarium.core.lane import Lane, Limits
from angarium.core.lane_queue import NEVER
from angarium.dispatch.target import EndpointTarget
from angarium.store.load import Config

PATIENCE: Final = 0.05  # seconds


class RoomWait(Enum):
    """Whether a lane waits for room in flight, and where in the queue."""

    NOT = auto()
    IN_TURN = auto()
    IN_FRONT = auto()


class Placing(Enum):
    """Whether the lane must wait until its deliveries have positions in the order of acceptance."""

    DONE = auto()
    WANTED = auto()
    UNDER_WAY = auto()


class ActiveLane:
    """One open lane. Without a target, or with a stale one, nothing is sent until it is read."""

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
        self.closed = False  # its shard is no longer ours
        self.halted = False  # its endpoint is about to be disabled
        self.placing = Placing.DONE
        self.size = 0  # bytes of its deliveries, as last counted
        self.ready = False  # in the queue of ready lanes
        self.waits = RoomWait.NOT  # for room
        self.admitted = False  # woken because there is room
        self.wake_at = NEVER  # the timer that is set for it
        self.used_at = 0.0
        self.health = HEALTHY

    def reconfigure(self, config: Config, target: EndpointTarget, limits: Limits, now: float) -> None:
        """Take the configuration read from the database. The health in the database includes completed
        attempts only. So after the first read it is kept here, until a new generation of the endpoint
        begins."""
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
        """The database has a delivery of the lane without a position in the order of acceptance."""
        if self.target is None or self.target.fifo:
            self.placing = Placing.WANTED

    @property
    def patience(self) -> float:
        """Seconds for which the lane may wait, so that its work is done together with that of others. Zero
        unless its endpoint is failing. Attempts at thousands of failing endpoints would otherwise wake the
        processor several times each, which delays the others."""
        return PATIENCE if self.lane.failing and not self.lane.urgent else 0.0

    @property
    def generation(self) -> int:
        """Generation of the endpoint's health; 0 before it was read."""
        return 0 if self.target is None else self.target.generation
