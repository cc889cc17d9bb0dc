"""Forwarding: claim some rows, send them, and take them out; no transaction is open meanwhile."""

from __future__ import annotations

import json
import logging
import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from angarium.client import Angarium, Refused, Unreachable
from angarium.client.angarium import encode

log = logging.getLogger(__name__)

CLAIM: Final = 120.0  # seconds after which rows that a forwarder claimed and left are anybody's again
BATCH: Final = 100


@dataclass(frozen=True, slots=True)
class Row:
    """One message to send; `id` is what it is known by to the server."""

    id: str
    application: str
    event_type: str
    payload: bytes
    channels: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


class Outbox(Protocol):
    """A table of rows. Each method is a transaction of its own."""

    def claim(self, limit: int, seconds: float) -> Sequence[Row]:
        """The oldest rows that nobody has claimed, now ours for so long."""

    def remove(self, ids: Sequence[str]) -> None:
        """These were accepted."""

    def release(self, ids: Sequence[str]) -> None:
        """These were not sent; they are anybody's again."""

    def refuse(self, id: str, words: str) -> None:  # noqa: A002
        """The server will never take this one: keep it, with the reason, out of the way."""


def row(
    application: str,
    event_type: str,
    payload: Any,
    channels: Sequence[str] = (),
    tags: Sequence[str] = (),
) -> Row:
    """A new row. `payload` is anything that json can write, or JSON in bytes. Raises ValueError."""
    data = payload if isinstance(payload, bytes) else encode(payload)
    json.loads(data)  # what is no JSON must fail in the business transaction, not after it
    return Row(f"outbox-{uuid.uuid4().hex}", application, event_type, data, tuple(channels), tuple(tags))


class Forwarder:
    """Sends what an outbox holds, oldest first. Any number may work on one outbox."""

    def __init__(self, outbox: Outbox, client: Angarium, *, batch: int = BATCH) -> None:
        self._outbox = outbox
        self._client = client
        self._batch = batch

    def step(self) -> int:
        """Send one batch; gives how many rows were done with. Raises Unreachable when the server is away."""
        rows = list(self._outbox.claim(self._batch, CLAIM))
        done = 0
        try:
            for one in rows:
                self._send(one)
                done += 1
        finally:
            if rest := [one.id for one in rows[done:]]:
                self._outbox.release(rest)
        return done

    def run(self, stop: threading.Event, *, every: float = 1.0) -> None:
        """Until `stop`: look every so many seconds; while the server is away, more and more seldom."""
        pause = every
        while not stop.is_set():
            try:
                while self.step() and not stop.is_set():
                    pass
                pause = every
            except (Unreachable, Refused) as error:
                log.warning("outbox: not forwarded, trying again: %s", error)
                pause = min(60.0, pause * 2)
            stop.wait(pause)

    def _send(self, one: Row) -> None:
        try:
            self._client.send(
                one.application,
                one.event_type,
                one.payload,
                event_id=one.id,
                channels=one.channels,
                tags=one.tags,
                idempotency_key=one.id,
            )
        except Refused as error:
            if error.status == 409:
                pass  # it was accepted before, and we were killed before we could note that
            elif error.status in (401, 403, 429) or error.status >= 500:
                raise
            else:
                log.error("outbox: %s is refused for good: %s", one.id, error)
                self._outbox.refuse(one.id, str(error))
                return
        self._outbox.remove([one.id])
