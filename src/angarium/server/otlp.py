"""Sends spans and metrics of a server to its collector, if a setting names one.

Metrics are sent as often as a setting says, and when the server stops. With one process, it sends its own.
With several, the supervisor sends those of all children, as one resource: the snapshot that `/metrics` shows.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

import structlog

from angarium.core.errors import SettingsError
from angarium.core.otlp import headers_of
from angarium.core.trace import NO_TRACER, Tracer
from angarium.settings import Settings
from angarium.shutdown import Shutdown
from angarium.telemetry.registry import Registry, Snapshot

if TYPE_CHECKING:
    from angarium.telemetry.otlp.collector import Collector

log = structlog.get_logger(__name__)


def require_otel(settings: Settings) -> None:
    """Raises SettingsError if there is a collector, but not the extra that sends to it."""
    if settings.otlp_endpoint is None:
        return
    try:
        import angarium.telemetry.otlp.collector  # noqa: F401
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("opentelemetry"):
            raise
        raise SettingsError('ANGARIUM_OTLP_ENDPOINT needs: pip install "angarium[otel]"') from error


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
    collector = _collector(settings, role, shutdown, registry)
    if collector is None:
        yield NO_TRACER
        return
    async with collector:
        tracer = _tracer(settings, collector)
        if snapshot is None:
            yield tracer
            return
        task = asyncio.create_task(_send(collector, snapshot, settings.otlp_interval), name="otlp")
        try:
            yield tracer
        finally:
            task.cancel()
            await _send_once(collector, snapshot)


def _collector(
    settings: Settings, role: str, shutdown: Shutdown, registry: Registry | None = None
) -> Collector | None:
    if settings.otlp_endpoint is None:
        return None
    require_otel(settings)
    from angarium.telemetry.otlp.collector import Collector

    headers = {} if settings.otlp_headers is None else headers_of(settings.otlp_headers.get_secret_value())
    return Collector(settings.otlp_endpoint, headers, role, shutdown, registry)


def _tracer(settings: Settings, collector: Collector) -> Tracer:
    if settings.trace_ratio is None:
        return NO_TRACER
    from angarium.telemetry.otlp.tracer import OtlpTracer

    return OtlpTracer(collector, settings.trace_ratio, passes=settings.trace_receivers)


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
