"""Metrics by OTLP: the values of `/metrics`, and a collector that is away disturbs nothing."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path

import pytest
import structlog.testing

from angarium.core.trace import SpanKind
from angarium.shutdown import Shutdown
from angarium.telemetry.catalogue import CATALOGUE
from angarium.telemetry.exposition import exposition
from angarium.telemetry.otlp import collector as module
from angarium.telemetry.otlp.collector import Collector
from angarium.telemetry.otlp.tracer import MOST_ASKED, OtlpTracer
from angarium.telemetry.registry import Family, MetricType, Registry, Snapshot
from tests.kit.authority import Authority
from tests.kit.collector import collecting, resources
from tests.kit.patience import PATIENCE, until
from tests.kit.port import free_port
from tests.kit.scrape import parsed


@pytest.fixture(autouse=True)
def fresh_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """A logger that was used before keeps its configuration, and could not be captured."""
    monkeypatch.setattr(module, "log", structlog.get_logger())


def filled() -> Snapshot:
    """Two series of every metric, as they leave a process."""
    registry = Registry(CATALOGUE)
    for place, (name, family) in enumerate(CATALOGUE.items(), 1):
        for number in (1, 2):
            labels = [f"{label}-{number}" for label in family.labels] if family.labels else []
            if family.kind is MetricType.HISTOGRAM:
                histogram = registry.histogram(name, *labels)
                histogram.observe_all([*family.buckets, place * 10_000.0, 0.0, family.buckets[0]])
            else:
                registry.value(name, *labels).add(place / 7 * number)
    shown: Snapshot = {}
    for name, series in registry.snapshot().items():
        more = ("0",) if CATALOGUE[name].shown_labels != CATALOGUE[name].labels else ()
        shown[name] = [((*labels, *more), value) for labels, value in series]
    return shown


def collector(url: str, registry: Registry | None = None, shutdown: Shutdown | None = None) -> Collector:
    return Collector(url, {"authorization": "Bearer secret"}, "all", shutdown or Shutdown(), registry)


async def test_every_metric_has_the_name_labels_buckets_and_value_that_prometheus_reads() -> None:
    snapshot = filled()
    assert snapshot.keys() == CATALOGUE.keys()
    begun = time.time()
    async with collecting() as there, collector(there.url) as sending:
        sending.put(snapshot)
        await until(lambda: bool(there.metrics))
    text, _ = exposition(CATALOGUE, snapshot)
    assert there.samples() == dict(parsed(text.decode()).samples)
    for metric in there.metrics[0].resource_metrics[0].scope_metrics[0].metrics:
        family: Family = CATALOGUE[metric.name.removeprefix("angarium_")]
        assert metric.description == family.meaning
        assert metric.WhichOneof("data") == {
            MetricType.COUNTER: "sum", MetricType.GAUGE: "gauge", MetricType.HISTOGRAM: "histogram"
        }[family.kind]  # fmt: skip
        if family.kind is MetricType.COUNTER:
            assert metric.sum.is_monotonic
            assert metric.sum.aggregation_temporality == 2  # cumulative
            (point, *_) = metric.sum.data_points
            assert begun - 1 <= point.start_time_unix_nano / 1e9 <= point.time_unix_nano / 1e9 <= time.time()
        if metric.name.endswith(("_seconds", "_seconds_total")):
            assert metric.unit == "s"
        if metric.name.endswith("_bytes"):
            assert metric.unit == "By"


async def test_a_collector_learns_who_sends_and_gets_the_headers() -> None:
    async with collecting() as there, collector(there.url) as sending:
        sending.put(filled())
        await until(lambda: bool(there.metrics))
    assert there.headers[0]["authorization"] == "Bearer secret"
    (about,) = resources(there.metrics[0])
    assert about["service.name"] == "angarium"
    assert about["angarium.role"] == "all"
    assert len(about["service.instance.id"]) == 36


async def test_what_is_left_is_sent_when_the_process_stops() -> None:
    async with collecting() as there:
        async with collector(there.url) as sending:
            sending.put(filled())
        assert len(there.metrics) == 1


async def test_a_collector_that_is_away_is_logged_once_and_when_it_is_back() -> None:
    registry = Registry(CATALOGUE)
    async with collecting() as there:
        with structlog.testing.capture_logs() as lines:
            there.status = 403
            async with collector(there.url, registry) as sending:
                for turn in (1, 2, 3):
                    sending.put(filled())
                    await until(lambda turn=turn: _failed(registry) == turn)  # type: ignore[misc]
                there.status = 200
                sending.put(filled())
                await until(lambda: bool(there.metrics))
    events = [(line["event"], line["signal"]) for line in lines]
    assert events == [("otlp.unsent", "metrics"), ("otlp.sent", "metrics")]
    assert "403" in lines[0]["reason"]
    assert "secret" not in str(lines)
    assert registry.value("otlp_requests_total", "metrics", "sent").value == 1


async def test_a_collector_that_does_not_answer_delays_the_stop_only_until_its_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "TIMEOUT", PATIENCE)
    monkeypatch.setattr(module, "LAST", PATIENCE)
    async with collecting() as there:
        there.silent = True
        shutdown = Shutdown(timeout=0.5)
        with structlog.testing.capture_logs() as lines:
            async with collector(there.url, shutdown=shutdown) as sending:
                sending.put(filled())
                await there.heard.wait()
                shutdown.begin()
                begun = time.monotonic()
            assert 0.3 < time.monotonic() - begun < PATIENCE / 2
        assert [line["event"] for line in lines] == ["otlp.unsent"]


async def test_a_collector_that_refuses_connections_does_not_block_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "TIMEOUT", PATIENCE)
    longest, last = 0.0, time.monotonic()
    async with collector(f"http://127.0.0.1:{free_port()}", shutdown=(shutdown := Shutdown(1))) as sending:
        for _ in range(50):
            sending.put(filled())
            await asyncio.sleep(0.01)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
        shutdown.begin()
    assert longest < PATIENCE / 2  # a request and its retries take longer


def _failed(registry: Registry) -> float:
    return registry.value("otlp_requests_total", "metrics", "failed").value


ASKED = [(b"traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]


def test_callers_cannot_have_more_requests_and_messages_traced_than_the_limit() -> None:
    now = 1000.0
    tracer = OtlpTracer(collector("http://127.0.0.1:9"), 1.0, passes=False, steady=lambda: now)
    asked = tracer.request(ASKED)
    assert asked is not None
    assert sum(tracer.request(ASKED) is not None for _ in range(3 * MOST_ASKED)) == MOST_ASKED - 1
    assert sum(tracer.child(asked) is not None for _ in range(3 * MOST_ASKED)) == MOST_ASKED
    by_chance = tracer.request([])
    assert by_chance is not None  # the ratio has no limit
    assert tracer.child(by_chance) is not None
    now += 1
    assert tracer.request(ASKED) is not None
    assert tracer.child(asked) is not None


async def test_the_oldest_spans_are_dropped_and_counted_if_too_many_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_SPANS", 10)
    registry = Registry(CATALOGUE)
    async with collecting() as there:
        sending = collector(there.url, registry)
        tracer = OtlpTracer(sending, 1.0, passes=False)
        for number in range(15):
            span = tracer.root()
            assert span is not None
            tracer.ended(span, str(number), SpanKind.INTERNAL, {})
        async with sending:
            pass
    assert [one.name for one in there.spans] == [str(number) for number in range(5, 15)]
    assert registry.value("otlp_spans_dropped_total").value == 5


async def test_a_collector_with_a_private_certificate_is_trusted_only_if_the_variable_names_its_authority(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "TIMEOUT", 4.0)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    authority, registry = Authority(tmp_path), Registry(CATALOGUE)
    async with collecting(authority.good()) as there:
        async with collector(there.url, registry) as sending:
            with structlog.testing.capture_logs() as lines:
                sending.put(filled())
                await until(lambda: _failed(registry) == 1)
            (line,) = lines
            assert "certificate verify failed" in line["reason"]
            assert there.asked == 0
        (tmp_path / "ca.pem").write_text(authority.pem)
        monkeypatch.setattr(module, "TIMEOUT", PATIENCE)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(tmp_path / "ca.pem"))
        async with collector(there.url) as sending:
            tracer = OtlpTracer(sending, 1.0, passes=False)
            span = tracer.root()
            assert span is not None
            tracer.ended(span, "one", SpanKind.INTERNAL, {})
            sending.put(filled())
    assert len(there.metrics) == len(there.spans) == 1
    assert [one["authorization"] for one in there.headers] == ["Bearer secret"] * 2


async def test_a_proxy_and_compression_are_taken_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with collecting() as proxy:
        for name in ("http_proxy", "no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
        async with collector("http://collector.invalid:4318") as sending:
            sending.put(filled())
            await until(lambda: bool(proxy.metrics))
    (headers,) = proxy.headers
    assert (headers["host"], headers["content-encoding"]) == ("collector.invalid:4318", "gzip")


def test_of_several_attempts_the_first_cause_is_told_at_any_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "level", logging.ERROR)
    reason = module._Reason()
    exporter = logging.getLogger("opentelemetry.exporter.otlp")
    reason.attach()
    try:
        exporter.warning("certificate verify failed")
        exporter.warning("timed out")
        exporter.error("gave up")
        assert reason.taken() == "certificate verify failed"
        exporter.error("gave up")
        assert reason.taken() == "gave up"
    finally:
        reason.detach()
