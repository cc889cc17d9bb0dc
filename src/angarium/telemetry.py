"""Logging: structlog to standard error, one line per event, names from one catalogue.

Never logged: payloads, secrets, tokens, custom header values, response bodies.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO, cast

import msgspec
import structlog

EVENTS: Final = {
    "address.refused": "a host name leads to addresses that requests must not go to; only the log says which",
    "delivery.attempted": "one attempt was made: where to, what came of it, how long it took",
    "api.failed": "a request failed by a fault of ours; its caller was told no more than that",
    "attempt.broken": "a fault of ours kept an attempt from being made; the lane rests and tries again",
    "clock.jumped": "the database's clock and ours parted, as after sleep; the time is the database's again",
    "credential.refused": "a token, key, link or session was refused: its kind, from which address, and why; "
    "of many failures of one address the 1st, 2nd, 4th, 8th … are logged",
    "database.migrated": "the schema was brought to this release",
    "endpoint.disabled": "an endpoint gets nothing more, and why",
    "endpoint.sealed": "no key opens an endpoint's secrets; ANGARIUM_SECRET_KEY lacks its key",
    "fan_out.failed": "deliveries of a large message could not be written; tried again",
    "fan_out.waiting": "large messages have kept this process busy for a minute; how many wait, and how old "
    "the oldest is",
    "fault.unreported": "other processes could not be told of a fault on our side; tried again",
    "hint.lost": "another process could not be told of new work; it finds it by itself a little later",
    "http.refused": "a request was refused for its head or framing, and its connection closed",
    "intake.failed": "messages could not be stored; their senders were told",
    "intake.refused": "PostgreSQL refuses a message; its sender was told",
    "intake.untold": "a fault of ours kept an answer from a sender whose messages were stored or refused",
    "load.failed": "deliveries could not be read; tried again",
    "placement.failed": "deliveries could not be put in the order of acceptance; tried again",
    "look.failed": "the round of all lanes could not be made; tried again",
    "part.broken": "a part of the dispatcher ended by a fault of ours",
    "partition.dropped": "a day of the history or of payloads is over, and was deleted",
    "partition.locked": "a partition is in use and could not be dropped; tried again",
    "process.died": "a worker process ended by itself; it is started again",
    "process.started": "a worker process was started",
    "replica.left": "lists and pages are read from the primary instead of the replica, and why",
    "replica.used": "lists and pages are read from the replica from now on",
    "retention.deleted": "expired rows of a table were deleted",
    "retention.held": "nothing is deleted, because the clock may be wrong; `apart` is by how many seconds "
    "the database's is ahead of this host's",
    "sender.failed": "a request could not be made by a fault of ours; tried again",
    "sending.paused": "a fault on our side keeps requests from some endpoints; they wait, and one is tried",
    "sending.resumed": "the fault is over, and what waited for it goes on",
    "server.started": "requests are answered from now on",
    "server.stopped": "everything has been finished and closed",
    "profile.unknown": "an organization has a profile that this process was not given; its lanes wait",
    "settle.failed": "outcomes could not be written by a fault of ours; tried again",
    "settle.parked": "an outcome cannot be written at all; this process does not attempt its delivery again",
    "settle.still_parked": "an outcome that is parked is refused again",
    "settle.unparked": "an outcome that was parked is written",
    "settle.refused": "an outcome cannot be written; it is written again without its answer",
    "settle.waiting": "outcomes wait for the database",
    "shards.given": "shards were handed to another dispatcher",
    "shards.ousted": "dispatchers that had been silent for too long lost their shards to the others",
    "shards.lost": "the connection that holds the shards broke; nothing more is sent for them from here",
    "shards.taken": "shards were taken over",
    "shards.unavailable": "the database cannot be asked for shards; tried again",
    "stop.unsettled": "the deadline of a stop came with outcomes not written; those attempts are made again",
    "tally.refused": "counts for charts could not be written; they are left out",
    "tally.waiting": "counts for charts wait for the database",
    "task.failed": "a background task was given up by a fault of ours",
    "upkeep.failed": "upkeep could not be done; tried again",
}
"""Every event name there is and what it means; stable, so that alerts can be built on them."""


def configure(log_format: Literal["console", "json"], level: str) -> None:
    """Set up logging for this process; the standard library's loggers end up in the same stream."""
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
        # without the values of variables, among which are payloads and secrets
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
    root.setLevel(max(threshold, logging.WARNING))  # libraries speak up when something is wrong, not before


def _filtering(threshold: int, *, quick: bool) -> Any:
    """structlog's logger from a level on. `quick`: an `info` becomes its line of JSON at once, for one is
    written for every attempt, and the way through the processors costs four times as much."""
    filtering = structlog.make_filtering_bound_logger(threshold)
    if not quick or threshold > logging.INFO:
        return filtering

    class Quick(filtering):  # type: ignore[misc, valid-type]
        def info(self, event: str, **values: Any) -> None:
            named = {
                **self._context, **values, "event": event, "level": "info", "timestamp": datetime.now(UTC)
            }  # fmt: skip
            self._logger.msg(_json(named))

    return Quick


class _Lines:
    """Writes lines; those of one turn of the event loop together, for a busy dispatcher writes thousands."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._held: list[str] = []

    def msg(self, line: str) -> None:
        self._held.append(line)
        if len(self._held) > 1:
            return
        try:
            asyncio.get_running_loop().call_soon(self._flush)
        except RuntimeError:  # outside of a loop
            self._flush()

    debug = info = warning = error = critical = exception = log = msg

    def _flush(self) -> None:
        lines = "\n".join(self._held)
        self._held.clear()
        print(lines, file=self._stream, flush=True)


_encode: Final = msgspec.json.Encoder(enc_hook=repr).encode


def _json(event: Any, **_: Any) -> str:
    line = _encode(event)
    # what is beyond ASCII may command a terminal or end a line there, so it is escaped
    return line.decode() if line.isascii() else json.dumps(msgspec.json.decode(line))


def _printable(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """What came from outside cannot begin a line of its own, nor move the terminal's cursor."""
    for name, value in event.items():
        if isinstance(value, str) and not value.isprintable() and name not in ("exception", "stack"):
            event[name] = value.encode("unicode_escape").decode()
    return event


def logger(part: str) -> structlog.typing.FilteringBoundLogger:
    """The logger of one part of the program."""
    return cast("structlog.typing.FilteringBoundLogger", structlog.get_logger(part=part))
