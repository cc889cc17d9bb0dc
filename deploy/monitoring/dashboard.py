"""Writes `dashboard.json`, a dashboard for Grafana: `python deploy/monitoring/dashboard.py`.

The panels are this list. Every expression uses metrics of `docs/metrics.md`. A test runs each of them against
a Prometheus that scrapes a server.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

# Grafana's names of units
SECONDS: Final = "s"
BYTES: Final = "bytes"
COUNT: Final = "short"
RATE: Final = "ops"
SHARE: Final = "percentunit"
PROCESSES: Final = 'job=~"$job", instance=~"$instance"'  # what the variables of the dashboard select


class Query(NamedTuple):
    """One line of a chart, or one for each value of the labels that the legend names."""

    expression: str
    legend: str


class Panel(NamedTuple):
    """A chart."""

    title: str
    unit: str
    queries: tuple[Query, ...]
    description: str = ""


def rate(metric: str, *by: str, where: str = "", legend: str = "") -> Query:
    """The increase of a counter each second, in sum or by labels."""
    selected = f"rate(angarium_{metric}{_select(where)}[$__rate_interval])"
    return Query(f"sum{_by(by)} ({selected})", legend or _legend(by))


def value(metric: str, fold: str, *by: str, legend: str = "") -> Query:
    """A gauge, folded over all processes."""
    return Query(f"{fold}{_by(by)} (angarium_{metric}{_select()})", legend or _legend(by))


def quantile(share: float, metric: str, *by: str, where: str = "", legend: str = "") -> Query:
    """A quantile of a histogram."""
    buckets = f"sum{_by(('le', *by))} (rate(angarium_{metric}_bucket{_select(where)}[$__rate_interval]))"
    name = f"p{share * 100:g}"
    return Query(f"histogram_quantile({share}, {buckets})", " ".join((legend or _legend(by), name)).strip())


def quantiles(metric: str, where: str = "") -> tuple[Query, ...]:
    """The usual three quantiles of a histogram."""
    return tuple(quantile(share, metric, where=where) for share in (0.5, 0.99, 0.999))


def _select(where: str = "") -> str:
    return "{" + ", ".join(filter(None, (PROCESSES, where))) + "}"


def _by(labels: Iterable[str]) -> str:
    named = ", ".join(labels)
    return f" by ({named})" if named else ""


def _legend(labels: Iterable[str]) -> str:
    return " ".join(f"{{{{{label}}}}}" for label in labels)


ROWS: Final[dict[str, tuple[Panel, ...]]] = {
    "Promise": (
        Panel("Messages", RATE, (rate("intake_messages_total", "result"),)),
        Panel("Attempts by outcome", RATE, (rate("attempts_total", "outcome"),)),
        Panel(
            "Lateness of attempts that nothing holds",
            SECONDS,
            quantiles("attempt_lateness_seconds", 'held="no"'),
            "How late scheduled attempts start although nothing of their endpoint holds them.",
        ),
        Panel("From accepted to first attempt", SECONDS, quantiles("first_attempt_seconds")),
        Panel("From accepted to delivered", SECONDS, quantiles("delivery_seconds")),
        Panel("Requests that create messages", SECONDS, quantiles("api_request_seconds", 'group="accept"')),
        Panel("Responses by status", RATE, (rate("api_requests_total", "code"),)),
        Panel(
            "Turned away",
            RATE,
            (rate("intake_turned_away_total", "reason"),),
            "Messages that got 503 and may be sent again.",
        ),
    ),
    "Backlog": (
        Panel(
            "Oldest due delivery",
            SECONDS,
            (value("oldest_due_seconds", "max", "held", legend="held: {{held}}"),),
            "Held: its endpoint is failing, limited or in order, so the delivery may have to wait.",
        ),
        Panel("Deliveries in the queue", COUNT, (value("deliveries", "max", "state"),)),
        Panel(
            "In flight",
            COUNT,
            (value("attempts_in_flight", "sum", "endpoint"), value("attempts_limit", "sum", legend="limit")),
        ),
        Panel(
            "Outcomes that wait",
            COUNT,
            (
                value("outcomes_waiting", "sum", legend="waiting"),
                value("outcomes_parked", "sum", legend="parked"),
            ),
        ),
        Panel(
            "Messages in memory",
            BYTES,
            (
                value("intake_waiting_bytes", "sum", legend="intake"),
                value("lane_bytes", "sum", legend="lanes"),
            ),
        ),
        Panel("Large messages", COUNT, (value("fan_out_messages", "max", legend="not all written"),)),
    ),
    "Receivers": (
        Panel("Failed attempts by cause", RATE, (rate("attempts_total", "cause", where='side!="none"'),)),
        Panel("Failed attempts by side", RATE, (rate("attempts_total", "side", where='side!="none"'),)),
        Panel(
            "Duration of attempts",
            SECONDS,
            tuple(
                quantile(share, "attempt_seconds", "delivered", legend="delivered: {{delivered}}")
                for share in (0.5, 0.99)
            ),
        ),
        Panel("Endpoints", COUNT, (value("endpoints", "max", "state"),)),
        Panel("Endpoints disabled", RATE, (rate("endpoints_disabled_total", "reason"),)),
        Panel("Requests by connection", RATE, (rate("requests_total", "connection"),)),
    ),
    "Quotas": (
        Panel(
            "Applications that reached a limit",
            COUNT,
            (value("quota_reached_applications", "max", "quota", "level"),),
            "In this month (UTC). Nothing is refused at a soft limit.",
        ),
        Panel(
            "Refused by quota",
            RATE,
            (rate("quota_refused_total", "quota"),),
            "Messages and endpoints above a hard limit.",
        ),
    ),
    "Our side": (
        Panel("Paused endpoints", COUNT, (value("paused_endpoints", "sum", "cause"),)),
        Panel("Share of time paused", SHARE, (rate("paused_seconds_total", "cause"),)),
        Panel("Own faults", RATE, (rate("own_faults_total", "event"),)),
        Panel("Lanes", COUNT, (value("lanes", "sum", "state"),)),
    ),
    "Database": (
        Panel("Writable", COUNT, (value("db_writable", "min", legend="writable"),)),
        Panel(
            "Duration of commits",
            SECONDS,
            (
                quantile(0.99, "intake_commit_seconds", legend="messages"),
                quantile(0.99, "complete_commit_seconds", legend="outcomes"),
            ),
        ),
        Panel(
            "Batches",
            COUNT,
            (
                quantile(0.5, "intake_batch_messages", legend="messages"),
                quantile(0.5, "complete_batch_outcomes", legend="outcomes"),
            ),
        ),
        Panel("Connections", COUNT, (value("db_connections", "sum", "pool", "state"),)),
        Panel("Wait for a connection", SECONDS, (quantile(0.99, "db_wait_seconds", "pool"),)),
        Panel("Errors", RATE, (rate("db_errors_total", "reason"),)),
        Panel("Size", BYTES, (value("database_bytes", "max", legend="database"),)),
        Panel("Oldest transaction id", COUNT, (value("database_xid_age", "max", legend="transactions"),)),
    ),
    "Shards and maintenance": (
        Panel(
            "Shards",
            COUNT,
            (
                value("shards_owned", "sum", "instance"),
                value("shards_unowned", "max", legend="without owner"),
            ),
        ),
        Panel("Changes of owners", RATE, (rate("shard_changes_total", "change"),)),
        Panel("Partitions ahead", SECONDS, (value("partition_ahead_seconds", "min", "table"),)),
        Panel("Retention behind", SECONDS, (value("retention_lag_seconds", "max", "table"),)),
        Panel(
            "Since a job succeeded",
            SECONDS,
            (
                Query(
                    # a process that has not done a job has 0, which would hide all others
                    "clamp_max(time() - "
                    f"{value('job_last_success_timestamp_seconds', 'max', 'job_name').expression}, 3600)",
                    "{{job_name}}",
                ),
            ),
        ),
        Panel(
            "After a restore",
            COUNT,
            (
                value("restore_held", "max", legend="held"),
                value("restore_pace_deliveries", "max", legend="deliveries a second"),
            ),
        ),
        Panel("Background tasks", COUNT, (value("tasks_running", "max", legend="running"),)),
    ),
    "Processes": (
        Panel("Releases", COUNT, (value("build_info", "count", "version", "role"),)),
        Panel("Processes", COUNT, (value("processes", "sum", "state"),)),
        Panel("CPU", SHARE, (rate("process_cpu_seconds_total", "instance", "process"),)),
        Panel("Memory", BYTES, (value("process_resident_bytes", "sum", "instance", "process"),)),
        Panel("Lag of the event loop", SECONDS, (quantile(0.99, "loop_lag_seconds", "instance"),)),
        Panel("Difference of clocks", SECONDS, (value("clock_offset_seconds", "max", "instance"),)),
    ),
}


def dashboard() -> dict[str, Any]:
    """The document that Grafana imports."""
    panels: list[dict[str, Any]] = []
    y = 0
    for row, charts in ROWS.items():
        panels.append(_row(row, len(panels) + 1, y))
        for number, chart in enumerate(charts):
            panels.append(_chart(chart, len(panels) + 1, x=number % 3 * 8, y=y + 1 + number // 3 * 7))
        y += 1 + (len(charts) + 2) // 3 * 7
    return {
        "uid": "angarium",
        "id": None,
        "title": "Angarium",
        "description": "The promises, the backlog, the receivers and what Angarium runs on.",
        "tags": ["angarium", "webhooks"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [_datasource(), _variable("job"), _variable("instance", 'job=~"$job"')]},
        "panels": panels,
    }


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}


def _variable(label: str, where: str = "") -> dict[str, Any]:
    query = f"label_values(angarium_build_info{f'{{{where}}}' if where else ''}, {label})"
    return {
        "name": label, "label": label.capitalize(), "type": "query", "query": query, "refresh": 2,
        "datasource": {"type": "prometheus", "uid": "$datasource"},
        "includeAll": True, "multi": True, "current": {"text": "All", "value": "$__all"}, "allValue": ".*",
    }  # fmt: skip


def _row(title: str, number: int, y: int) -> dict[str, Any]:
    place = {"x": 0, "y": y, "w": 24, "h": 1}
    return {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []}


def _chart(chart: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    datasource = {"type": "prometheus", "uid": "$datasource"}
    return {
        "id": number,
        "type": "timeseries",
        "title": chart.title,
        "description": chart.description,
        "datasource": datasource,
        "gridPos": {"x": x, "y": y, "w": 8, "h": 7},
        "fieldConfig": {"defaults": {"unit": chart.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": ref, "datasource": datasource, "expr": query.expression, "legendFormat": query.legend}
            for ref, query in zip("ABCDEF", chart.queries, strict=False)
        ],
    }


if __name__ == "__main__":
    target = Path(__file__).with_name("dashboard.json")
    target.write_text(json.dumps(dashboard(), indent=1) + "\n")
