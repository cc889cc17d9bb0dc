"""Lists all metrics. `docs/metrics.md` is made of this list (telemetry/page.py).

Labels have few values, which the code knows. None is the id or the name of an application, an endpoint or a
message, except for applications that a setting lists.
"""

from __future__ import annotations

from typing import Final

from angarium.telemetry.registry import Across, Family, MetricType

LATENESS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
ATTEMPT: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60)
COMMIT: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
BATCH: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


def _counter(name: str, meaning: str, *labels: str, across: Across = Across.SUM) -> Family:
    return Family(name, MetricType.COUNTER, meaning, labels, across=across)


def _gauge(name: str, meaning: str, *labels: str, across: Across = Across.SUM) -> Family:
    return Family(name, MetricType.GAUGE, meaning, labels, across=across)


def _histogram(name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Family:
    return Family(name, MetricType.HISTOGRAM, meaning, labels, buckets)


SECTIONS: Final = {
    "Messages": (
        _counter(
            "intake_messages_total",
            "Messages received, by result: accepted, duplicate (the event id or idempotency key was used "
            "before), or refused (no such application, too large, or above the limit of the application).",
            "result",
        ),
        _counter(
            "intake_turned_away_total",
            "Messages that were not accepted and may be sent again: full (too many wait to be stored), "
            "bodies (too many request bodies at once), or database (it is not available).",
            "reason",
        ),
        _counter(
            "quota_refused_total",
            "Messages and endpoints that were refused, because an application has reached its limit.",
            "quota",
        ),
        _gauge(
            "quota_reached_applications",
            "Applications that have reached a limit in this month. quota: messages or endpoints. level: soft "
            "or hard.",
            *("quota", "level"),
            across=Across.MAX,
        ),
        _counter(
            "deliveries_created_total",
            "Deliveries written, with their messages or, of large messages, later in slices.",
        ),
        _histogram("intake_batch_messages", "Messages in one transaction of intake.", BATCH),
        _histogram("intake_commit_seconds", "Duration of a transaction of intake.", COMMIT),
        _gauge("intake_waiting_messages", "Messages that wait to be stored; their limit is 10,000."),
        _gauge("intake_waiting_bytes", "Bytes of these messages; their limit is 64 MiB."),
        _counter(
            "application_messages_total",
            "Messages accepted, of the applications in ANGARIUM_METRICS_APPLICATIONS, and of all others.",
            "application",
        ),
    ),
    "Attempts": (
        _counter(
            "attempts_total",
            "Attempts that ended. outcome: delivered, retry, exhausted, canceled, kept (a resend failed), or "
            "waiting (a fault on our side; nothing is recorded). cause: the class of the status, as in 2xx, "
            "or the kind of failure. side: none, receiver, network, settings, or ours. trigger: schedule or "
            "manual. product: the profile.",
            *("outcome", "cause", "side", "trigger", "product"),
        ),
        _histogram(
            "first_attempt_seconds",
            "From when a delivery was accepted, or scheduled for, to the start of its first attempt.",
            LATENESS,
        ),
        _histogram(
            "attempt_lateness_seconds",
            "How late a scheduled attempt started, from when it was due or from when its endpoint was no "
            "longer held, whichever is later. held: what held it before: no, rate (limit), concurrency (of "
            "the endpoint), failing, pause (Retry-After), or order (first-in-first-out). With held=no all "
            "of it is ours.",
            LATENESS,
            "held",
        ),
        _histogram(
            "attempt_seconds",
            "Duration of an attempt, by whether it delivered.",
            ATTEMPT,
            "delivered",
        ),
        _histogram(
            "delivery_seconds",
            "From when a message was accepted to its delivery, by whether the first attempt delivered it.",
            LATENESS,
            "attempts",
        ),
        _counter(
            "application_attempts_total",
            "Attempts, of the applications in ANGARIUM_METRICS_APPLICATIONS, and of all others.",
            *("application", "outcome"),
        ),
        _counter(
            "endpoints_disabled_total",
            "Endpoints disabled automatically: failing, gone (410), or unheard (a listener without a "
            "client).",
            "reason",
        ),
    ),
    "Dispatch": (
        _gauge("attempts_in_flight", "Requests in flight.", "endpoint"),
        _gauge("attempts_limit", "The limit of requests in flight, ANGARIUM_CONCURRENCY."),
        _counter("requests_total", "Requests sent, on a new or a reused connection.", "connection"),
        _gauge("idle_connections", "Connections to receivers that are kept for the next request."),
        _gauge("lanes", "Endpoints in memory: busy, failing, or idle.", "state"),
        _gauge("lane_deliveries", "Deliveries that wait in memory."),
        _gauge("lane_bytes", "Bytes of these deliveries; from 128 MiB on, lanes hold fewer."),
        _gauge("outcomes_waiting", "Outcomes that are not recorded yet; at 5,000 no attempts start."),
        _gauge("outcomes_parked", "Outcomes that the database refuses (see the event complete.parked)."),
        _histogram("complete_batch_outcomes", "Outcomes in one transaction.", BATCH),
        _histogram("complete_commit_seconds", "Duration of a transaction that records outcomes.", COMMIT),
        _gauge(
            "paused_endpoints",
            "Endpoints to which nothing is sent because of a fault on our side, by its kind.",
            "cause",
        ),
        _counter(
            "paused_seconds_total",
            "Seconds in which a fault on our side held requests to at least one endpoint of a process, by "
            "its kind; outcomes: in which a process sent nothing, because outcomes could not be recorded.",
            "cause",
        ),
        _gauge(
            "sending_stopped",
            "1 while a process sends nothing, because outcomes cannot be recorded.",
            across=Across.MAX,
        ),
    ),
    "Shards": (
        _gauge("shards_owned", "Shards that the processes of this target own."),
        _gauge(
            "shards_unowned",
            "Shards that no process owns, as seen in the database. Every process tells.",
            across=Across.MAX,
        ),
        _gauge("dispatchers", "Dispatchers connected to the database.", across=Across.MAX),
        _counter(
            "shard_changes_total",
            "Shards taken, given to another process, lost with the connection; or silent owners evicted.",
            "change",
        ),
    ),
    "Backlog": (
        _gauge(
            "oldest_due_seconds",
            "For how long the oldest due delivery has been due; less than a second counts as 0. held=yes: "
            "its endpoint is failing, has a rate limit, or is first-in-first-out, so it may have to wait.",
            "held",
            across=Across.MAX,
        ),
        _gauge(
            "deliveries",
            "Deliveries in the queue: due (in flight included), scheduled (a retry, or accepted for a later "
            "time), or waiting (their endpoint is disabled).",
            "state",
            across=Across.MAX,
        ),
        _gauge(
            "deliveries_complete",
            "1 if all of these were counted; 0 if a table has more than 100,000 rows, of which 100,000 were "
            "counted.",
            across=Across.MIN,
        ),
        _gauge("fan_out_messages", "Messages whose deliveries are not all written.", across=Across.MAX),
        _gauge(
            "endpoints",
            "Endpoints that are failing or disabled, at most 100,000 of each.",
            "state",
            across=Across.MAX,
        ),
        _gauge("tasks_running", "Background tasks that are not finished.", across=Across.MAX),
        _gauge("task_oldest_seconds", "Age of the oldest of these tasks.", across=Across.MAX),
    ),
    "Database": (
        _gauge(
            "db_writable",
            "1 if the database accepts writes, 0 if not or if it does not respond.",
            across=Across.MIN,
        ),
        _gauge(
            "db_connections", "Connections of a pool: api or engine (intake and dispatch).", "pool", "state"
        ),
        _gauge("db_connections_limit", "The most connections that a pool opens.", "pool"),
        _histogram("db_wait_seconds", "Time to get a connection from a pool.", COMMIT, "pool"),
        _counter(
            "db_errors_total",
            "Failures of the database by reason, and statements that it refused.",
            "pool",
            "reason",
        ),
        _gauge("database_bytes", "Size of the database.", across=Across.MAX),
        _gauge(
            "old_key_values",
            "Endpoints and stored responses that an older key of ANGARIUM_SECRET_KEY encrypts, at most "
            "100,000. kind: endpoint or response. 0 with a single key.",
            "kind",
            across=Across.MAX,
        ),
        _gauge(
            "restore_held",
            "1 while a restored database is held, so that nothing is sent; otherwise 0.",
            across=Across.MAX,
        ),
        _gauge(
            "restore_pace_deliveries",
            "Deliveries a second that all processes together may start after a restore; 0 without a limit.",
            across=Across.MAX,
        ),
        _gauge(
            "database_xid_age",
            "Transactions since the oldest row was frozen. Far above autovacuum_freeze_max_age, autovacuum "
            "does not keep up.",
            across=Across.MAX,
        ),
    ),
    "Maintenance": (
        _gauge("partitions", "Partitions of a table.", "table", across=Across.MAX),
        _gauge(
            "partition_ahead_seconds",
            "For how long there are partitions for new rows.",
            "table",
            across=Across.MIN,
        ),
        _gauge(
            "retention_lag_seconds",
            "By how much the oldest partition has outlived its retention.",
            "table",
            across=Across.MAX,
        ),
        _gauge(
            "job_last_success_timestamp_seconds",
            "When a periodic job last succeeded: tasks (every 10 s), partitions and retention (every "
            "minute), statistics (every 5 s), gauges (of the database, every 15 s), usage (adds up what "
            "applications use, every second to a minute). 0: not since the start.",
            "job_name",
            across=Across.MAX,
        ),
    ),
    "API": (
        _counter(
            "api_requests_total",
            "Requests answered, by the template of the path.",
            *("route", "method", "code"),
        ),
        _histogram(
            "api_request_seconds",
            "Duration of a request: accept (a message is created), api, portal, admin, or play.",
            COMMIT,
            "group",
        ),
    ),
    "Process": (
        _gauge(
            "build_info",
            "Always 1. The labels tell the release and the role.",
            *("version", "role"),
            across=Across.MAX,
        ),
        _counter(
            "own_faults_total",
            "Warnings and errors in the log that mean a fault on our side or of the database, by event.",
            "event",
        ),
        _histogram("loop_lag_seconds", "Delay of a timer of the event loop.", COMMIT),
        _gauge(
            "clock_offset_seconds",
            "By how much the clocks of the host and of the database differ.",
            across=Across.MAX,
        ),
        _counter("process_cpu_seconds_total", "Processor time.", across=Across.EACH),
        _gauge("process_resident_bytes", "Resident memory.", across=Across.EACH),
        _gauge("process_open_files", "Open files and sockets.", across=Across.EACH),
        _gauge("process_start_time_seconds", "When the process started.", across=Across.EACH),
        _gauge(
            "processes",
            "Processes of this target: answering, or silent (its counters are those of the last answer, its "
            "gauges are missing).",
            "state",
        ),
        _counter("process_deaths_total", "Child processes that ended unexpectedly."),
        _counter(
            "otlp_requests_total",
            "Requests to the collector of ANGARIUM_OTLP_ENDPOINT: sent, or failed. signal: metrics or "
            "traces.",
            *("signal", "result"),
        ),
        _counter(
            "otlp_spans_dropped_total",
            "Spans that were not sent, because too many waited or the collector did not take them.",
        ),
    ),
}
"""All metrics by subject."""

CATALOGUE: Final = {family.name: family for families in SECTIONS.values() for family in families}
