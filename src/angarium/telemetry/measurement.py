"""Puts together what measures one process: the registry, the sink that its parts report to, and gauges."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from angarium import __version__
from angarium.core.event import Events
from angarium.core.failure import KINDS
from angarium.telemetry import gauges, logs
from angarium.telemetry.catalogue import CATALOGUE
from angarium.telemetry.metrics import Metrics
from angarium.telemetry.registry import Registry
from angarium.telemetry.sink import Sink

if TYPE_CHECKING:
    from angarium.clock import Clock
    from angarium.core.keyring import Keyring
    from angarium.dispatch.dispatcher_state import DispatcherState
    from angarium.store.database import Database

FAULTS: Final = tuple(kind.code for kind in KINDS.values() if kind.ours)


class Measurement:
    """`events` is for the parts of the process. They are known only after they were made with it, so they are
    added later."""

    def __init__(self, role: str, applications: Collection[str] = ()) -> None:
        self.registry = Registry(CATALOGUE)
        self.registry.value("build_info", __version__, role).set(1)
        self.registry.before_snapshot(gauges.process_gauges(self.registry))
        self.events: Events = Sink([Metrics(self.registry, applications)])
        self._leads: Callable[[], bool] = lambda: False
        logs.report_to(self.events.logged)

    def watch_pools(self, pools: Sequence[gauges.DatabasePool]) -> None:
        self.registry.before_snapshot(gauges.pool_gauges(self.registry, pools))

    def watch_intake(self, queued: Callable[[], tuple[int, int]]) -> None:
        self.registry.before_snapshot(gauges.intake_gauges(self.registry, queued))

    def watch_restore(self, state: Callable[[], tuple[bool, int | None]]) -> None:
        self.registry.before_snapshot(gauges.restore_gauges(self.registry, state))

    def watch_dispatcher(self, state: Callable[[], DispatcherState], leads: Callable[[], bool]) -> None:
        """`leads`: whether it does the maintenance."""
        self._leads = leads
        self.registry.before_snapshot(gauges.dispatch_gauges(self.registry, state, FAULTS))

    def start(
        self, stack: AsyncExitStack, database: Database, clock: Clock, history: timedelta, keyring: Keyring
    ) -> None:
        """Start measuring what needs a task. The stack ends it."""
        from angarium.telemetry.database_watch import DatabaseWatch

        watch = DatabaseWatch(self.registry, self.events, database, clock, self._leads, history, keyring)
        for work in (watch.run(), gauges.measure_loop(self.registry)):
            task = asyncio.create_task(work, name="telemetry")
            stack.callback(task.cancel)
