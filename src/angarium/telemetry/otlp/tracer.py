"""Decides which requests are traced, and passes ended spans to the collector.

A caller's decision is followed: its sampled requests are traced, at most `MOST_ASKED` a second and as many of
their messages, and its others are not. Requests of callers without a trace are traced by chance.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import structlog
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceFlags
from opentelemetry.trace import SpanKind as Kind

from angarium.core.trace import OpenSpan, SpanKind, Tracer, caller_of
from angarium.telemetry.otlp.collector import Collector
from angarium.telemetry.otlp.metric import SCOPE

log = structlog.get_logger(__name__)

MOST_ASKED: Final = 100  # requests a second that are traced because their callers say so, and messages
MOST_LINKS: Final = 128
_KINDS: Final = {
    SpanKind.INTERNAL: Kind.INTERNAL,
    SpanKind.SERVER: Kind.SERVER,
    SpanKind.CLIENT: Kind.CLIENT,
    SpanKind.PRODUCER: Kind.PRODUCER,
}


class OtlpTracer(Tracer):
    """`ratio`: of requests without a caller's trace. `passes`: whether receivers get the context. `steady`: a
    clock for the limits."""

    on = True

    def __init__(
        self,
        collector: Collector,
        ratio: float,
        *,
        passes: bool,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self.passes = passes
        self._collector = collector
        self._ratio = ratio
        self._chance = random.Random().random  # noqa: S311 (a sample)
        self._requests, self._messages = _SecondLimit(steady), _SecondLimit(steady)

    def request(self, headers: Iterable[tuple[bytes, bytes]]) -> OpenSpan | None:
        caller = caller_of(headers)
        if caller is None:
            return self.root() if self._chance() < self._ratio else None
        if not caller.sampled or not self._requests.taken():
            return None
        return OpenSpan(caller.trace_id, _span_id(), caller.span_id, time.time_ns(), remote=True)

    def child(self, parent: OpenSpan) -> OpenSpan | None:
        if parent.remote and not self._messages.taken():
            return None  # of a batch, which one request may fill
        return OpenSpan(parent.trace_id, _span_id(), parent.span_id, time.time_ns())

    def root(self) -> OpenSpan | None:
        return OpenSpan(os.urandom(16), _span_id(), None, time.time_ns())

    def ended(
        self,
        span: OpenSpan,
        name: str,
        kind: SpanKind,
        attributes: Mapping[str, str | int],
        *,
        links: Sequence[bytes] = (),
        error: str | None = None,
    ) -> None:
        try:
            self._collector.put_span(
                _readable(self._collector.resource, span, name, kind, attributes, links, error)
            )
        except Exception:
            # telemetry must not fail what it observes
            log.exception("telemetry.failed")


class _SecondLimit:
    """`MOST_ASKED` in each second."""

    def __init__(self, steady: Callable[[], float]) -> None:
        self._steady = steady
        self._second = 0
        self._count = 0

    def taken(self) -> bool:
        """Count one more. False if there were too many."""
        second = int(self._steady())
        if second != self._second:
            self._second, self._count = second, 0
        self._count += 1
        return self._count <= MOST_ASKED


def _readable(
    resource: Resource,
    span: OpenSpan,
    name: str,
    kind: SpanKind,
    attributes: Mapping[str, str | int],
    links: Sequence[bytes],
    error: str | None,
) -> ReadableSpan:
    parent = None if span.parent_id is None else _context(span.trace_id + span.parent_id, remote=span.remote)
    return ReadableSpan(
        name,
        context=_context(span.context),
        parent=parent,
        resource=resource,
        attributes=dict(attributes) if error is None else {**attributes, "error.type": error},
        links=[Link(_context(one, remote=True)) for one in links[:MOST_LINKS]],
        kind=_KINDS[kind],
        instrumentation_scope=SCOPE,
        status=Status() if error is None else Status(StatusCode.ERROR),
        start_time=span.begun,
        end_time=max(span.begun, time.time_ns()),
    )


def _context(stored: bytes, *, remote: bool = False) -> SpanContext:
    trace_id, span_id = int.from_bytes(stored[:16]), int.from_bytes(stored[16:])
    return SpanContext(trace_id, span_id, is_remote=remote, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _span_id() -> bytes:
    return os.urandom(8)
