"""Sends spans and metrics to a collector, in a thread of its own.

The event loop only leaves things here: the newest snapshot of metrics, and at most `MOST_SPANS` ended spans,
of which the oldest are dropped. So a collector that is slow or away costs neither time nor memory. That it
cannot be reached is logged once, and that it can be again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import structlog
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import MetricExportResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from angarium import __version__
from angarium.shutdown import Shutdown
from angarium.telemetry.catalogue import CATALOGUE
from angarium.telemetry.otlp.metric import metrics_data
from angarium.telemetry.registry import Registry, Snapshot

log = structlog.get_logger(__name__)

MOST_SPANS: Final = 4096
BATCH: Final = 512  # spans in a request
EVERY: Final = 2.0  # seconds that a span waits at most
TIMEOUT: Final = 10.0  # seconds for a request and its retries
LAST: Final = 5.0  # seconds for what is left when the process stops
_LONGEST: Final = 500  # characters of an error
_LIBRARY: Final = "opentelemetry.exporter"  # the logger of the exporters


class Collector:
    """A collector at the base URL `endpoint`. `headers` are sent with each request and may be secrets.

    `registry` counts what is sent. Use it as an asynchronous context; what is left is sent on leaving, in the
    time that `shutdown` has.
    """

    def __init__(
        self,
        endpoint: str,
        headers: Mapping[str, str],
        role: str,
        shutdown: Shutdown,
        registry: Registry | None = None,
    ) -> None:
        self._shutdown = shutdown
        self._registry = registry
        self.resource: Final = _resource(role)
        self._since = time.time()
        base = endpoint.rstrip("/")
        sent = dict(headers)
        self._span_exporter = OTLPSpanExporter(f"{base}/v1/traces", headers=sent, timeout=TIMEOUT)
        self._metric_exporter = OTLPMetricExporter(f"{base}/v1/metrics", headers=sent, timeout=TIMEOUT)
        self._spans: deque[ReadableSpan] = deque()
        self._snapshot: tuple[Snapshot, float] | None = None
        self._wake = threading.Event()
        self._stopping = False
        self._reason = _Reason()
        self._fails: dict[str, bool] = {}
        self._thread = threading.Thread(target=self._run, name="otlp", daemon=True)

    async def __aenter__(self) -> Collector:
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._reason.attach()
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping = True
        self._wake.set()
        try:
            async with self._shutdown.within(LAST):
                await self._ended.wait()
        except TimeoutError:
            # the thread does not keep the process alive; what it has is lost
            log.warning("otlp.unsent", signal="all", reason="The process stops.")
        self._reason.detach()

    def put(self, snapshot: Snapshot) -> None:
        """Send a snapshot of metrics soon. It replaces one that still waits."""
        self._snapshot = snapshot, time.time()
        self._wake.set()

    def put_span(self, span: ReadableSpan) -> None:
        """Send an ended span soon. It may displace the oldest."""
        if len(self._spans) >= MOST_SPANS:
            with contextlib.suppress(IndexError):  # the thread took it
                self._spans.popleft()
                if self._registry is not None:
                    self._registry.value("otlp_spans_dropped_total").add()
        self._spans.append(span)
        if len(self._spans) == BATCH:
            self._wake.set()

    # in the thread

    def _run(self) -> None:
        stopping = False
        while not stopping:
            self._wake.wait(EVERY)
            self._wake.clear()
            stopping = self._stopping
            try:
                self._send()
            except Exception as error:  # a bug must not end the thread
                self._call(partial(log.error, "telemetry.failed", exc_info=error))
        for exporter in (self._span_exporter, self._metric_exporter):
            exporter.shutdown()  # closes its connections
        self._call(self._ended.set)

    def _send(self) -> None:
        snapshot, self._snapshot = self._snapshot, None
        if snapshot is not None:
            values, at = snapshot
            data = metrics_data(CATALOGUE, values, self.resource, self._since, at)
            done = self._metric_exporter.export(data) is MetricExportResult.SUCCESS
            self._tell("metrics", done, 1)
        while self._spans:
            batch = self._batch()
            done = self._span_exporter.export(batch) is SpanExportResult.SUCCESS
            self._tell("traces", done, len(batch))
            if not done:
                return  # the others may wait for the next turn, or are dropped

    def _batch(self) -> Sequence[ReadableSpan]:
        spans: list[ReadableSpan] = []
        with contextlib.suppress(IndexError):
            while len(spans) < BATCH:
                spans.append(self._spans.popleft())
        return spans

    def _tell(self, signal: str, done: bool, count: int) -> None:
        reason = None if done else self._reason.taken()
        self._call(partial(self._told, signal, reason, count))

    def _call(self, work: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):  # the event loop was closed
            self._loop.call_soon_threadsafe(work)

    # in the event loop

    def _told(self, signal: str, reason: str | None, count: int) -> None:
        failed = reason is not None
        if self._registry is not None:
            self._registry.value("otlp_requests_total", signal, "failed" if failed else "sent").add()
            if failed and signal == "traces":
                self._registry.value("otlp_spans_dropped_total").add(count)
        if failed and not self._fails.get(signal):
            log.warning("otlp.unsent", signal=signal, reason=reason)
        elif not failed and self._fails.get(signal):
            log.info("otlp.sent", signal=signal)
        self._fails[signal] = failed


class _Reason(logging.Handler):
    """Keeps what the exporters log, instead of writing each line.

    An exporter that retries warns with the cause, and gives up with an error that has no cause. The first
    cause counts: a later attempt may only have run out of time.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._cause = self._last = ""

    def attach(self) -> None:
        library = logging.getLogger(_LIBRARY)
        library.addHandler(self)
        library.propagate = False
        library.setLevel(logging.WARNING)  # the cause is a warning, also if ANGARIUM_LOG_LEVEL is error

    def detach(self) -> None:
        library = logging.getLogger(_LIBRARY)
        library.removeHandler(self)
        library.propagate = True
        library.setLevel(logging.NOTSET)

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()[:_LONGEST]
        if record.levelno >= logging.ERROR:
            self._last = message
        elif not self._cause:
            self._cause = message

    def taken(self) -> str:
        reason = self._cause or self._last or "unknown"
        self._cause = self._last = ""
        return reason


def _resource(role: str) -> Resource:
    """Who sends. `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` may add to it."""
    known = {
        "service.version": __version__,
        "service.instance.id": str(uuid.uuid4()),
        "host.name": socket.gethostname(),
        "angarium.role": role,
    }
    return Resource({"service.name": "angarium"}).merge(_environment()).merge(Resource(known))


def _environment() -> Resource:
    from opentelemetry.sdk.resources import OTELResourceDetector

    return OTELResourceDetector().detect()
