"""Describes what a dispatcher does at one moment, for metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from angarium.dispatch.completer import Completer
from angarium.dispatch.lane_registry import LaneRegistry
from angarium.dispatch.outages import Outages
from angarium.dispatch.ownership import Ownership
from angarium.dispatch.room import Room
from angarium.dispatch.transport.sender import Sender


@dataclass(frozen=True, slots=True)
class DispatcherState:
    """Counts. `paused`: by the code of a fault on our side, how many lanes wait for its end.
    `paused_seconds`: the same so far as seconds, and those in which outcomes could not be recorded."""

    in_flight: int
    failing_in_flight: int
    limit: int
    lanes: Mapping[str, int]  # busy, failing, idle
    waiting: int  # deliveries in memory
    waiting_bytes: int
    outcomes: int  # not recorded yet
    parked: int
    stuck: bool  # outcomes cannot be recorded, so nothing is sent
    paused: Mapping[str, int]
    paused_seconds: Mapping[str, float]
    shards: int
    dispatchers: int
    dialed: int  # requests so far on a new connection
    reused: int  # requests so far on a kept connection
    idle_connections: int

    @classmethod
    def of(
        cls,
        registry: LaneRegistry,
        room: Room,
        completer: Completer,
        outages: Outages,
        ownership: Ownership,
        sender: Sender,
    ) -> DispatcherState:
        lanes: Counter[str] = Counter()
        waiting = 0
        for active in registry:
            lane = active.lane
            waiting += lane.waiting
            lanes["failing" if lane.failing else "busy" if lane.in_flight or lane.waiting else "idle"] += 1
        paused: Counter[str] = Counter()
        for fault in outages.faults:
            paused[fault.kind.code] += len(fault.lanes)
        return cls(
            *room.use,
            lanes,
            waiting,
            registry.held_bytes,
            completer.outcomes,
            len(completer.parked),
            completer.stuck,
            paused,
            outages.paused_seconds | completer.paused_seconds,
            len(registry.owned),
            ownership.dispatchers,
            *sender.connections,
        )
