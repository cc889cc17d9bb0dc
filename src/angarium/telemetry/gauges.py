"""Sets gauges before each snapshot: of the process, its parts, and its pools of connections."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from angarium.dispatch.completer import OUTCOMES
from angarium.telemetry.registry import Registry

if TYPE_CHECKING:
    from angarium.dispatch.dispatcher_state import DispatcherState

TICK: Final = 1.0  # seconds between measurements of the event loop's lag
_PAGE: Final = resource.getpagesize()


class DatabasePool(Protocol):
    """A pool of database connections. `use`: connections in use, idle, and allowed."""

    @property
    def name(self) -> str: ...

    @property
    def use(self) -> tuple[int, int, int]: ...


def process_gauges(registry: Registry) -> Callable[[], None]:
    """Processor time, memory and files of this process, which has just started."""
    cpu, memory = registry.value("process_cpu_seconds_total"), registry.value("process_resident_bytes")
    files = registry.value("process_open_files")
    registry.value("process_start_time_seconds").set(time.time())

    def update() -> None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        cpu.set(used.ru_utime + used.ru_stime)
        memory.set(_resident())
        files.set(sum(1 for _ in Path("/dev/fd").iterdir()))

    return update


def _resident() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE
    except OSError:  # not Linux: the most so far, in bytes on macOS
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def pool_gauges(registry: Registry, pools: Sequence[DatabasePool]) -> Callable[[], None]:
    """Use of pools of database connections."""

    def update() -> None:
        for pool in pools:
            used, idle, limit = pool.use
            registry.value("db_connections", pool.name, "used").set(used)
            registry.value("db_connections", pool.name, "idle").set(idle)
            registry.value("db_connections_limit", pool.name).set(limit)

    return update


def intake_gauges(registry: Registry, queued: Callable[[], tuple[int, int]]) -> Callable[[], None]:
    """Messages that wait to be stored. `queued`: how many, and their bytes."""
    messages, size = registry.value("intake_waiting_messages"), registry.value("intake_waiting_bytes")

    def update() -> None:
        messages.value, size.value = queued()

    return update


def restore_gauges(registry: Registry, state: Callable[[], tuple[bool, int | None]]) -> Callable[[], None]:
    """Whether a restored database is held, and the pace of deliveries after a restore."""
    held, pace = registry.value("restore_held"), registry.value("restore_pace_deliveries")

    def update() -> None:
        now_held, now_pace = state()
        held.set(now_held)
        pace.set(now_pace or 0)

    return update


def dispatch_gauges(
    registry: Registry, state: Callable[[], DispatcherState], faults: Sequence[str]
) -> Callable[[], None]:
    """What the dispatcher does. `faults`: the codes of faults on our side."""
    value = registry.value

    def update() -> None:
        now = state()
        value("attempts_in_flight", "healthy").set(now.in_flight - now.failing_in_flight)
        value("attempts_in_flight", "failing").set(now.failing_in_flight)
        value("attempts_limit").set(now.limit)
        for name in ("busy", "failing", "idle"):
            value("lanes", name).set(now.lanes.get(name, 0))
        value("lane_deliveries").set(now.waiting)
        value("lane_bytes").set(now.waiting_bytes)
        value("outcomes_waiting").set(now.outcomes)
        value("outcomes_parked").set(now.parked)
        value("sending_stopped").set(now.stuck)
        for code in faults:
            value("paused_endpoints", code).set(now.paused.get(code, 0))
        for cause in (*faults, OUTCOMES):
            value("paused_seconds_total", cause).set(now.paused_seconds.get(cause, 0.0))
        value("shards_owned").set(now.shards)
        value("dispatchers").set(now.dispatchers)
        value("requests_total", "new").set(now.dialed)
        value("requests_total", "reused").set(now.reused)
        value("idle_connections").set(now.idle_connections)

    return update


async def measure_loop(registry: Registry) -> None:
    """Measure by how much a timer of the event loop is late, until cancelled."""
    lag = registry.histogram("loop_lag_seconds")
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + TICK
        await asyncio.sleep(TICK)
        lag.observe(max(0.0, loop.time() - due))
