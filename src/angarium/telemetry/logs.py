"""Configures logging: structlog writes one line per event to standard error. `EVENTS` lists all events.

Never logged: payloads, secrets, tokens, custom header values, response bodies.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO, cast

import msgspec
import structlog

EVENTS: Final = {
    "address.refused": "a host name resolves to addresses that requests may not reach; only the log names "
    "them",
    "delivery.attempted": "one delivery attempt: its URL, its result and its duration",
    "alert.broken": "an internal error prevented a mail; it is dropped",
    "alert.dropped": "an alert could not be sent for a day; it is dropped",
    "alert.failed": "an alert could not be sent; retried, and what the server said",
    "alert.refused": "a mail server refused a mail permanently; its contact gets no more mail",
    "alert.sent": "an alert was sent: its kind, and to whom",
    "alert.waiting": "alerts wait for the database",
    "api.failed": "an internal error failed a request; the caller got a 500 without details",
    "attempt.broken": "an internal error prevented an attempt; the lane pauses and retries",
    "clock.jumped": "the database's clock and this process's clock diverged, as after sleep; the process "
    "adopts the database's time",
    "connection.stuck": "a connection to the database does not work, although a fresh one does",
    "credential.refused": "a token, key, link or session was refused: its kind, the client address and the "
    "reason; of repeated failures from one address, the 1st, 2nd, 4th, 8th … are logged",
    "database.migrated": "the schema was migrated to this release",
    "endpoint.disabled": "an endpoint was disabled, and why",
    "endpoint.sealed": "an endpoint's secrets cannot be decrypted; ANGARIUM_SECRET_KEY lacks their key",
    "erasure.again": "rows of an erased application were written meanwhile, `left` by table; they are "
    "deleted again",
    "fan_out.failed": "deliveries of a large message could not be written; retried",
    "fan_out.waiting": "large messages have kept this process busy for a minute; how many are pending, and "
    "the age of the oldest",
    "fault.unreported": "a fault on our side could not be reported to other processes; retried",
    "gauge.unknown": "a gauge of the database could not be read, and is missing until it can",
    "hint.lost": "another process could not be notified of new work; it finds the work by polling",
    "http.refused": "a request was refused for its headers or framing, and its connection closed",
    "intake.failed": "messages could not be stored; their senders got an error",
    "intake.refused": "PostgreSQL rejected a message; its sender got an error",
    "intake.untold": "an internal error prevented the response to a sender whose messages were stored or "
    "refused",
    "keys.not_in_files": "SIGHUP arrived, but no key is in a file that could be read again; nothing changes",
    "keys.read": "the keys were read from their files again",
    "keys.refused": "the keys could not be read again, and why; the process continues with those that it has",
    "load.failed": "deliveries could not be read; retried",
    "migration.index_dropped": "an index that an interrupted migration left unusable was dropped, to be "
    "created again",
    "migration.waiting": "another session holds a lock that a migration needs; it gave way, and tries again",
    "placement.failed": "deliveries could not be put in order of acceptance; retried",
    "poll.failed": "the periodic scan for lanes with work failed; retried",
    "part.broken": "an internal error stopped a part of the dispatcher; it is restarted",
    "partition.dropped": "an expired daily partition of history or payloads was dropped",
    "partition.unseen": "a database session did not find a partition that exists; it reads its tables again",
    "partition.locked": "a partition is in use and could not be dropped; retried",
    "process.refused": "the database refuses this process, and why; it stops and is not restarted",
    "process.died": "a worker process exited unexpectedly; it is restarted",
    "process.started": "a worker process started",
    "replica.left": "lists and pages are read from the primary instead of the replica, and why",
    "replica.used": "lists and pages are read from the replica from now on",
    "retention.deleted": "expired rows of a table were deleted",
    "retention.held": "nothing is deleted, because the clock may be wrong; `apart` is how many seconds the "
    "database's clock is ahead of this host's",
    "sender.failed": "an internal error prevented a request; retried",
    "sending.paused": "a fault on our side stops requests to some endpoints; their deliveries wait, and one "
    "is tried",
    "sending.resumed": "the fault is over, and the waiting deliveries continue",
    "settings.ignored": "variables that this release does not know were ignored, because of "
    "ANGARIUM_IGNORE_UNKNOWN",
    "server.started": "the server accepts requests",
    "server.stopped": "the server finished its work and closed its connections",
    "ops.failed": "an internal error prevented a page of the listener for operators' tools",
    "profile.unknown": "an organization has a profile that this process does not load; its lanes wait",
    "complete.failed": "an internal error prevented writing outcomes; retried",
    "complete.parked": "an outcome cannot be written; this process does not attempt its delivery again",
    "complete.still_parked": "a parked outcome was rejected again",
    "complete.unparked": "a parked outcome was written",
    "complete.refused": "an outcome cannot be written; it is retried without its response",
    "complete.waiting": "outcomes wait for the database",
    "peer.connected": "deliveries are handed over to another process from now on",
    "peer.key_unknown": "another process has a secret key that this one does not have, so it gets hints",
    "peer.listen_failed": "this process cannot listen for deliveries of others, so they send hints",
    "peer.refused": "a caller of the hand-over did not have the key, or sent something else; disconnected",
    "peer.unreachable": "another process cannot be reached at one of its addresses",
    "peer.unread": "the owners of the shards could not be read, so they get hints; retried",
    "shards.given": "shards were handed over to another dispatcher",
    "shards.evicted": "unresponsive dispatchers lost their shards to the others",
    "shards.lost": "the connection that holds the shards broke; this process stops sending for them",
    "shards.taken": "shards were taken over",
    "shards.unannounced": "the shards could not be announced to other processes, which send hints; retried",
    "shards.unavailable": "shards could not be taken, because the database is unavailable; retried",
    "quota.reached": "an application reached a limit; reported once a month",
    "stop.incomplete": "the shutdown deadline passed before all outcomes were written; those attempts are "
    "repeated",
    "stop.unanswered": "the shutdown deadline passed before all requests were answered; they are aborted",
    "stats.refused": "counts for charts could not be written; they are dropped",
    "stats.waiting": "counts for charts wait for the database",
    "usage.waiting": "what applications used is not added up, because the database is not available; limits "
    "are enforced later",
    "systemd.untold": "systemd could not be told the state of the service",
    "otlp.sent": "the collector of ANGARIUM_OTLP_ENDPOINT takes metrics or traces again",
    "otlp.unsent": "the collector of ANGARIUM_OTLP_ENDPOINT did not take metrics or traces, and why; logged "
    "once until it takes them",
    "telemetry.failed": "an internal error prevented counting something; a metric may be too low",
    "task.failed": "an internal error made a background task fail",
    "mail.printed": "a mail of `angarium dev`, which is not sent unless ANGARIUM_SMTP_URL is set",
    "maintenance.failed": "maintenance failed; retried",
}
"""Every event name and its meaning. Names are stable, so alerts can rely on them."""

OWN_FAULTS: Final = frozenset(
    name
    for name in EVENTS
    if name.rpartition(".")[2] in ("failed", "broken", "lost", "evicted", "unavailable", "waiting", "parked")
    or name
    in (
        "clock.jumped",
        "complete.refused",
        "endpoint.sealed",
        "fault.unreported",
        "intake.untold",
        "process.died",
        "profile.unknown",
        "replica.left",
        "retention.held",
        "sending.paused",
        "stats.refused",
        "stop.incomplete",
    )
)
"""Events that mean a fault on our side or of the database, as warnings or errors. Metrics count them."""

_listeners: list[Callable[[str], None]] = []


def report_to(listener: Callable[[str], None]) -> None:
    """Call `listener` with the name of each warning and error, whatever the level that is logged."""
    _listeners[:] = [listener]


def configure(log_format: Literal["console", "json"], level: str) -> None:
    """Set up logging for this process. The standard library's loggers write to the same stream."""
    shared: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: Any = structlog.processors.JSONRenderer(serializer=_json)
    if log_format == "console":
        shared.append(_printable)
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    else:
        # without the values of variables: they include payloads and secrets
        traceback = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        shared.append(structlog.processors.ExceptionRenderer(traceback))
    threshold = getattr(logging, level.upper())
    lines = _Lines(sys.stderr)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=_filtering(threshold, quick=log_format == "json"),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(threshold, logging.WARNING))  # libraries log warnings and errors only


def _filtering(threshold: int, *, quick: bool) -> Any:
    """structlog's logger, filtered by level. `quick`: `info` is encoded as JSON directly, because one is
    written for every attempt and the processors cost four times as much."""
    filtered: Any = structlog.make_filtering_bound_logger(threshold)

    class Reporting(filtered):  # type: ignore[misc]
        def warning(self, event: str, *parts: Any, **values: Any) -> None:
            _report(event)
            super().warning(event, *parts, **values)

        def error(self, event: str, *parts: Any, **values: Any) -> None:
            _report(event)
            super().error(event, *parts, **values)

        def exception(self, event: str, *parts: Any, **values: Any) -> None:
            _report(event)
            super().exception(event, *parts, **values)

    if not quick or threshold > logging.INFO:
        return Reporting

    class Quick(Reporting):
        def info(self, event: str, **values: Any) -> None:
            named = {
                **self._context, **values, "event": event, "level": "info", "timestamp": datetime.now(UTC)
            }  # fmt: skip
            self._logger.msg(_json(named))

    return Quick


def _report(event: str) -> None:
    for listener in _listeners:
        listener(event)


class _Lines:
    """Writes lines, those of one event loop iteration together: a busy dispatcher logs thousands."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._held: list[str] = []

    def msg(self, line: str) -> None:
        self._held.append(line)
        if len(self._held) > 1:
            return
        try:
            asyncio.get_running_loop().call_soon(self._flush)
        except RuntimeError:  # no event loop is running
            self._flush()

    debug = info = warning = error = critical = exception = log = msg

    def _flush(self) -> None:
        lines = "\n".join(self._held)
        self._held.clear()
        print(lines, file=self._stream, flush=True)


_encode: Final = msgspec.json.Encoder(enc_hook=repr).encode


def _json(event: Any, **_: Any) -> str:
    line = _encode(event)
    # non-ASCII characters may control a terminal or end a line, so they are escaped
    return line.decode() if line.isascii() else json.dumps(msgspec.json.decode(line))


def _printable(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escape control characters, so that external text cannot start a line or move the terminal's cursor."""
    for name, value in event.items():
        if isinstance(value, str) and not value.isprintable() and name not in ("exception", "stack"):
            event[name] = value.encode("unicode_escape").decode()
    return event


def logger(part: str) -> structlog.typing.FilteringBoundLogger:
    """The logger of one part of the program."""
    return cast("structlog.typing.FilteringBoundLogger", structlog.get_logger(part=part))
