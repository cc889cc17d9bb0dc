"""A collector: a real HTTP server that decodes what OTLP sends."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp.web
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

Sample = tuple[str, frozenset[tuple[str, str]]]


@dataclass(frozen=True)
class SentSpan:
    """A span as it arrived. Ids are in hexadecimal digits."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    links: tuple[tuple[str, str], ...]
    attributes: Mapping[str, Any]
    failed: bool
    state: str
    begin: int
    end: int
    resource: Mapping[str, Any]
    flags: int


@dataclass
class FakeCollector:
    """Takes everything, unless `status` says otherwise."""

    url: str
    status: int = 200
    silent: bool = False  # it never answers
    headers: list[Mapping[str, str]] = field(default_factory=list)
    metrics: list[ExportMetricsServiceRequest] = field(default_factory=list)
    spans: list[SentSpan] = field(default_factory=list)
    asked: int = 0
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    def samples(self, place: int = -1) -> dict[Sample, float]:
        """The values of a request, as Prometheus would show them; without the prefix."""
        return samples_of(self.metrics[place])

    def named(self, name: str) -> list[SentSpan]:
        return [span for span in self.spans if span.name == name]

    def parent(self, span: SentSpan) -> SentSpan | None:
        """The parent, if it has arrived."""
        return next((one for one in self.spans if one.span_id == span.parent_id), None)


def samples_of(request: ExportMetricsServiceRequest) -> dict[Sample, float]:
    found: dict[Sample, float] = {}
    for metric in _metrics(request):
        name = metric.name.removeprefix("angarium_")
        kind = metric.WhichOneof("data")
        for point in getattr(metric, kind).data_points:
            labels = _values(point.attributes)
            if kind != "histogram":
                found[_sample(name, labels)] = point.as_double
                continue
            total = 0
            for bound, count in zip([*point.explicit_bounds, None], point.bucket_counts, strict=True):
                total += count
                le = "+Inf" if bound is None else str(bound)
                found[_sample(f"{name}_bucket", {**labels, "le": le})] = total
            found[_sample(f"{name}_count", labels)] = point.count
            found[_sample(f"{name}_sum", labels)] = point.sum
    return found


def resources(request: ExportMetricsServiceRequest) -> list[Mapping[str, Any]]:
    return [_values(one.resource.attributes) for one in request.resource_metrics]


def _metrics(request: ExportMetricsServiceRequest) -> Iterable[Any]:
    for resource in request.resource_metrics:
        for scope in resource.scope_metrics:
            yield from scope.metrics


def _sample(name: str, labels: Mapping[str, Any]) -> Sample:
    return name, frozenset(labels.items())


def _values(attributes: Iterable[Any]) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


def _spans(request: ExportTraceServiceRequest) -> Iterable[SentSpan]:
    for resource in request.resource_spans:
        about = _values(resource.resource.attributes)
        for scope in resource.scope_spans:
            for one in scope.spans:
                links = tuple((link.trace_id.hex(), link.span_id.hex()) for link in one.links)
                yield SentSpan(
                    one.name,
                    one.kind,
                    one.trace_id.hex(),
                    one.span_id.hex(),
                    one.parent_span_id.hex(),
                    links,
                    _values(one.attributes),
                    one.status.code == 2,
                    one.trace_state,
                    one.start_time_unix_nano,
                    one.end_time_unix_nano,
                    about,
                    one.flags,
                )


@asynccontextmanager
async def collecting(tls: ssl.SSLContext | None = None) -> AsyncIterator[FakeCollector]:
    """A collector that listens meanwhile; with TLS, as `localhost`."""
    fake: FakeCollector
    closing = asyncio.Event()

    async def take(request: aiohttp.web.BaseRequest) -> aiohttp.web.Response:
        body = await request.read()
        fake.asked += 1
        fake.heard.set()
        if fake.silent:
            await closing.wait()
        if fake.status != 200:
            return aiohttp.web.Response(status=fake.status)
        fake.headers.append(request.headers)
        if request.path == "/v1/metrics":
            fake.metrics.append(ExportMetricsServiceRequest.FromString(body))
        elif request.path == "/v1/traces":
            fake.spans.extend(_spans(ExportTraceServiceRequest.FromString(body)))
        else:
            return aiohttp.web.Response(status=404)
        return aiohttp.web.Response(content_type="application/x-protobuf")

    runner = aiohttp.web.ServerRunner(aiohttp.web.Server(take))
    await runner.setup()
    try:
        await aiohttp.web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        host, port = runner.addresses[0][:2]
        fake = FakeCollector(f"http://{host}:{port}" if tls is None else f"https://localhost:{port}")
        yield fake
    finally:
        closing.set()
        await runner.cleanup()
