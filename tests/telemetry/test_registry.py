"""Series, snapshots, and what becomes of those of several processes."""

from __future__ import annotations

import pytest

from angarium.telemetry import registry as module
from angarium.telemetry.catalogue import CATALOGUE
from angarium.telemetry.combination import combined, counters
from angarium.telemetry.exposition import exposition
from angarium.telemetry.registry import Registry, Snapshot, decoded, encoded
from tests.kit.scrape import parsed


def registry() -> Registry:
    return Registry(CATALOGUE)


def text(snapshot: Snapshot, accept: str = "") -> str:
    body, _ = exposition(CATALOGUE, snapshot, accept)
    return body.decode()


def test_an_observation_is_in_its_bucket_and_all_larger_ones() -> None:
    one = registry()
    histogram = one.histogram("attempt_seconds", "yes")
    for value in (0.01, 0.011, 70.0):
        histogram.observe(value)
    now = parsed(text(one.snapshot()))
    assert now.get("attempt_seconds_bucket", delivered="yes", le="0.01") == 1
    assert now.get("attempt_seconds_bucket", delivered="yes", le="0.025") == 2
    assert now.get("attempt_seconds_bucket", delivered="yes", le="60.0") == 2
    assert now.get("attempt_seconds_bucket", delivered="yes", le="+Inf") == 3
    assert now.get("attempt_seconds_count", delivered="yes") == 3
    assert now.get("attempt_seconds_sum", delivered="yes") == pytest.approx(70.021)


def test_openmetrics_is_served_to_those_who_ask_for_it() -> None:
    one = registry()
    one.value("deliveries_created_total").add(2)
    body, content_type = exposition(CATALOGUE, one.snapshot(), "application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")
    assert b"angarium_deliveries_created_total 2.0" in body
    assert exposition(CATALOGUE, one.snapshot())[1].startswith("text/plain")


def test_a_snapshot_survives_the_way_to_the_supervisor() -> None:
    one = registry()
    one.value("lanes", "busy").set(3)
    one.histogram("loop_lag_seconds").observe(0.2)
    assert text(decoded(encoded(one.snapshot()))) == text(one.snapshot())


def two() -> dict[str, Snapshot]:
    first, second = registry(), registry()
    for one, number in ((first, 1), (second, 5)):
        one.value("deliveries_created_total").add(number)
        one.value("lanes", "busy").set(number)
        one.value("db_writable").set(number == 1)
        one.value("shards_unowned").set(number)
        one.value("process_resident_bytes").set(number)
        one.histogram("loop_lag_seconds").observe(number)
    return {"0": first.snapshot(), "1": second.snapshot()}


def test_processes_are_added_up_or_the_worst_of_them_counts() -> None:
    now = parsed(text(combined(two())))
    assert now.get("deliveries_created_total") == 6
    assert now.get("lanes", state="busy") == 6
    assert now.get("db_writable") == 0
    assert now.get("shards_unowned") == 5
    assert now.get("process_resident_bytes", process="0") == 1
    assert now.get("process_resident_bytes", process="1") == 5
    assert now.get("loop_lag_seconds_count") == 2
    assert now.get("loop_lag_seconds_sum") == 6
    assert now.get("loop_lag_seconds_bucket", le="1.0") == 1


def test_of_a_process_that_ended_the_counters_remain() -> None:
    both = two()
    ended = counters(combined({"1": both.pop("1")}))
    now = parsed(text(combined(both, [ended])))
    assert now.get("deliveries_created_total") == 6
    assert now.get("loop_lag_seconds_count") == 2
    assert now.get("lanes", state="busy") == 1
    assert now.get("shards_unowned") == 1


def test_series_are_limited_and_the_rest_is_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    one = registry()
    for number in range(10):
        one.value("api_requests_total", f"/{number}", "GET", "200").add()
    now = parsed(text(one.snapshot()))
    assert now.get("api_requests_total", route="other", method="other", code="other") == 7
    assert now.total("api_requests_total") == 10


def test_a_wrong_number_of_labels_is_an_error() -> None:
    with pytest.raises(ValueError, match="api_requests_total has the labels"):
        registry().value("api_requests_total", "/")


def test_names_and_units_follow_prometheus() -> None:
    for name, family in CATALOGUE.items():
        assert name.endswith("_total") == (family.kind == "counter"), name
        assert not name.endswith(("_ms", "_kilobytes")), name
        assert bool(family.buckets) == (family.kind == "histogram"), name
        assert list(family.buckets) == sorted(set(family.buckets)), name
        assert family.meaning.endswith("."), name
        forbidden = {"app", "endpoint_id", "message", "organization", "url", "host"}
        assert not forbidden & set(family.labels), name
