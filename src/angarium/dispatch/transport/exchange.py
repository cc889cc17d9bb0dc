"""State of one request and its response so far, and the errors that can end it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from angarium.dispatch.transport.dial import Origin


class AnswerTooLarge(Exception):
    """The receiver sent more than is read."""


class NotHttp(Exception):
    """The receiver did not send an HTTP/1 response."""


class HungUp(Exception):
    """The receiver closed the connection before it answered."""


class Unsendable(ValueError):
    """The endpoint's URL or headers cannot be written as a request."""


class Carrier(Protocol):
    """The connection that carries an exchange (connection.py)."""

    received: int  # bytes of the answer

    def close(self) -> None: ...


class HttpExchange:
    """One request. `stage` is how far it got: queue, dns, connect, tls, answer."""

    __slots__ = (
        "body", "connection", "content", "dialing", "done", "fields", "fresh", "head", "origin", "stage",
        "started", "status", "timeout",
    )  # fmt: skip

    def __init__(self, origin: Origin, head: bytes, content: bytes, timeout: float) -> None:
        self.origin = origin
        self.head = head
        self.content = content
        self.timeout = timeout
        self.started = 0.0  # by the performance counter
        self.stage = "queue"
        self.fresh = False  # it was restarted on a new connection
        self.status = 0
        self.fields: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.connection: Carrier | None = None
        self.dialing: asyncio.Task[None] | None = None
        self.done: Callable[[HttpExchange, Exception | None], None] | None = None

    def how_far(self) -> str:
        """The stage, or `head` when the response has begun."""
        connection = self.connection
        begun = self.stage == "answer" and connection is not None and connection.received > 0
        return "head" if begun else self.stage
