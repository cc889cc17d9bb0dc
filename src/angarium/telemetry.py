"""Logging: structlog to standard error, one line per event, names from one catalogue.

Never logged: payloads, secrets, tokens, custom header values, response bodies.
"""

from __future__ import annotations

import logging
import sys
from enum import StrEnum
from typing import Any, Literal, cast

import structlog


class Event(StrEnum):
    """Every event name there is; stable, so that alerts can be built on them."""

    STARTED = "server.started"
    STOPPING = "server.stopping"
    STOPPED = "server.stopped"
    PROCESS_STARTED = "process.started"
    PROCESS_DIED = "process.died"
    MIGRATED = "database.migrated"
    DATABASE_AWAY = "database.away"
    DATABASE_BACK = "database.back"
    SHARDS_TAKEN = "shards.taken"
    SHARDS_LOST = "shards.lost"
    ATTEMPT = "attempt"
    ENDPOINT_DISABLED = "endpoint.disabled"
    REQUEST_FAILED = "request.failed"
    PART_FAILED = "part.failed"


def configure(log_format: Literal["console", "json"], level: str) -> None:
    """Set up logging for this process; the standard library's loggers end up in the same stream."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: Any = structlog.processors.JSONRenderer()
    if log_format == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    else:
        shared.append(structlog.processors.dict_tracebacks)
    threshold = getattr(logging, level.upper())
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
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


def logger(part: str) -> structlog.typing.FilteringBoundLogger:
    """The logger of one part of the program."""
    return cast("structlog.typing.FilteringBoundLogger", structlog.get_logger(part=part))
