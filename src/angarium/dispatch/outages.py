"""Tracks current faults on our side: the lanes that they hold, and the probes that end them.

A lane whose attempt fails on our side is held. It sends only probes, after a growing pause and one at a time
for all lanes of the same fault. The first probe that does not fail on our side releases them all. Other lanes
continue: an open connection needs no new socket, and an IP address needs no name server.
"""

from __future__ import annotations

import asyncio

import structlog

from angarium.clock import Clock, datetime_at
from angarium.core import ids
from angarium.core.failure import FailureKind
from angarium.core.outage import PausedTime, ProbePause
from angarium.dispatch.active_lane import ActiveLane
from angarium.dispatch.lane_registry import LaneRegistry

log = structlog.get_logger(__name__)


class SendingFault:
    """A current fault."""

    __slots__ = ("key", "kind", "lanes", "pause", "since")

    def __init__(self, kind: FailureKind, key: object, clock: Clock) -> None:
        self.kind = kind
        self.key = key
        self.since = clock.now()
        self.pause = ProbePause(clock.steady())
        self.lanes: dict[ActiveLane, float] = {}  # the lanes that it holds, and since when


class Outages:
    """Current faults by kind. A fault that concerns one lane only is kept by lane."""

    def __init__(self, registry: LaneRegistry, clock: Clock, process: str = "") -> None:
        """`process`: the name of this process in the log."""
        self._registry = registry
        self._process = process
        self._clock = clock
        self._faults: dict[object, SendingFault] = {}
        self._held: dict[ActiveLane, SendingFault] = {}
        self._paused = PausedTime()
        self.changed = asyncio.Event()  # a fault has begun

    def __bool__(self) -> bool:
        return bool(self._faults)

    @property
    def paused_seconds(self) -> dict[str, float]:
        """By the code of a fault, for how many seconds it has held lanes."""
        return self._paused.seconds(self._clock.steady())

    @property
    def faults(self) -> list[SendingFault]:
        """Current faults. Lanes that are closed or have nothing left to send are released first."""
        for active in [
            active for active in self._held if active.closed or (active.lane.quiet and not active.lane.wants)
        ]:
            self._let_go(active)
        return list(self._faults.values())

    def failed(self, active: ActiveLane, kind: FailureKind, probe: SendingFault | None) -> None:
        """An attempt of the lane failed on our side. `probe`: the fault that it probed, if any."""
        key = (kind.code, active.endpoint_id) if kind.lane_only else kind.code
        fault = self._faults.get(key)
        if fault is None:
            fault = self._faults[key] = SendingFault(kind, key, self._clock)
            self._paused.began(kind.code, self._clock.steady())
            self.changed.set()
            log.error(
                "sending.paused",
                fault=kind.code,
                endpoint=ids.text(ids.ENDPOINT, active.endpoint_id),
                process=self._process,
            )
        elif fault is probe:
            fault.pause.failed(self._clock.steady())
        before = self._held.get(active)
        if before is not fault and not active.closed:
            if before is not None:
                self._let_go(active)
            self._held[active] = fault
            fault.lanes[active] = self._clock.now()

    def passed(self, probe: SendingFault) -> None:
        """A probe did not fail on our side: the fault is over."""
        if self._faults.get(probe.key) is not probe:
            return
        queued = list(probe.lanes)
        self._end(probe)
        for active in queued:
            del self._held[active]
            self._registry.mark(active)

    def admits(self, active: ActiveLane) -> bool:
        """Whether the lane may take its turn. If not, it gets another turn later."""
        fault = self._held.get(active)
        now = self._clock.steady()
        if fault is None or fault.pause.admits(now):
            return True
        self._registry.ready_queue.wait(active, self._clock.now() + fault.pause.next_at - now)
        return False

    def probe(self, active: ActiveLane) -> SendingFault | None:
        """The lane starts an attempt. Returns the fault that this probes, if the lane is held."""
        fault = self._held.get(active)
        if fault is not None:
            fault.pause.probing(self._clock.steady())
        return fault

    def _let_go(self, active: ActiveLane) -> None:
        fault = self._held.pop(active)
        del fault.lanes[active]
        if not fault.lanes:
            self._end(fault)

    def _end(self, fault: SendingFault) -> None:
        del self._faults[fault.key]
        self._paused.ended(fault.kind.code, self._clock.steady())
        log.warning(
            "sending.resumed",
            fault=fault.kind.code,
            since=datetime_at(fault.since).isoformat(),
            lanes=len(fault.lanes),
            process=self._process,
        )
