"""Sends the metrics of a server to its collector, as often as a setting says and when it stops.

With one process, it sends its own metrics. With several, the supervisor sends those of all children, as one
resource: the snapshot that `/metrics` shows.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

import structlog

from angarium import build
from angarium.core.trace import NO_TRACER, Tracer
from angarium.settings import Settings
from angarium.shutdown import Shutdown
from angarium.telemetry.registry import Registry, Snapshot

if TYPE_CHECKING:
    from angarium.telemetry.otlp.collector import Collector

log = structlog.get_logger(__name__)


@contextlib.asynccontextmanager
async def exporting(
    settings: Settings,
    role: str,
    shutdown: Shutdown,
    registry: Registry | None,
    snapshot: Callable[[], Awaitable[Snapshot]] | None,
) -> AsyncIterator[Tracer]:
    """Sends metrics to the collector meanwhile, if there is one, and yields what sends spans to it.

    `registry` counts requests to it. `snapshot`: the metrics to send; None: another process sends them.
    Raises SettingsError without the extra `otel`.
    """
    collector = build.collector(settings, role, shutdown, registry)
    if collector is None:
        yield NO_TRACER
        return
    async with collector:
        tracer = build.tracer(settings, collector)
        if snapshot is None:
            yield tracer
            return
        task = asyncio.create_task(_send(collector, snapshot, settings.otlp_interval), name="otlp")
        try:
            yield tracer
        finally:
            task.cancel()
            await _send_once(collector, snapshot)


async def _send(collector: Collector, snapshot: Callable[[], Awaitable[Snapshot]], every: float) -> None:
    while True:
        await asyncio.sleep(every)
        await _send_once(collector, snapshot)


async def _send_once(collector: Collector, snapshot: Callable[[], Awaitable[Snapshot]]) -> None:
    try:
        collector.put(await snapshot())
    except Exception:
        # telemetry must not end what it observes
        log.exception("telemetry.failed")
