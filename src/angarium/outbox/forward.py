"""Sends the rows of an outbox: claims a batch, sends it, and deletes it, without an open transaction.

If the server does not accept a row:

- It is unavailable or overloaded, or refuses the token (401, 403, 429, 502, 503, 504, or a response that is
  not Angarium's): all rows wait, and the forwarder retries.
- It fails on this row (500 and other 5xx, 408, 425): the row is retried when its claim ends. The rows after
  it are sent.
- It refuses this row (unknown application, too large, ...): the row is set aside with the reason, which is
  logged. `refused` lists these rows, and `restore` queues them again.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from angarium.client import Angarium, ClientError, Refused
from angarium.client.angarium import message_body, payload_bytes
from angarium.message_form import MAX_BODY, check_fields, is_event_type, is_traceparent

log = logging.getLogger(__name__)

CLAIM: Final = 120.0  # seconds after which the claim of a forwarder that died ends
BATCH: Final = 100
_SERVER_AWAY: Final = frozenset({401, 403, 429, 502, 503, 504})
_TRY_LATER: Final = frozenset({408, 425})


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A message to send. The server accepts its `id` once."""

    id: str
    application: str
    event_type: str
    payload: bytes
    channels: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    traceparent: str | None = None


class Outbox(Protocol):
    """The rows in a database. Each method is one transaction."""

    def claim(self, limit: int, seconds: float) -> Sequence[OutboxRow]:
        """Claim the oldest rows without a claim, for this number of seconds."""

    def remove(self, ids: Sequence[str]) -> None:
        """Delete rows that were accepted."""

    def release(self, ids: Sequence[str]) -> None:
        """End the claim of rows that were not sent."""

    def refuse(self, id: str, words: str) -> None:  # noqa: A002
        """Set aside a row that the server refused, with the reason."""

    def refused(self, limit: int = 100) -> Sequence[tuple[OutboxRow, str]]:
        """The oldest rows that were set aside, with the reasons."""

    def restore(self, ids: Sequence[str] | None = None) -> int:
        """Queue rows that were set aside again (None: all). Returns their number."""


def row(
    application: str,
    event_type: str,
    payload: Any,
    channels: Sequence[str] = (),
    tags: Sequence[str] = (),
    *,
    traceparent: str | None = None,
    max_body: int = MAX_BODY,
) -> OutboxRow:
    """A new row. `payload` is a value that `json` serializes as an object, or the JSON text in bytes.

    Raises ValueError if the server would refuse the message, so that the error is in your transaction and not
    after it. `traceparent` is the W3C context of your span; one that is not valid counts as none. `max_body`
    is the server's limit of a request body, in bytes.
    """
    made = OutboxRow(
        f"outbox-{uuid.uuid4().hex}", application, event_type, b"", _texts(channels), _texts(tags)
    )
    faults: list[str] = []

    def refuse(field: str, words: str) -> None:
        faults.append(f"{field}: {words}")

    for field, value in (("application", application), ("eventType", event_type)):
        if not isinstance(value, str):
            raise ValueError(f"{field}: must be a string, not {type(value).__name__}.")
    if not is_event_type(application):
        refuse("application", "The id or uid is 1 to 256 of a-z, A-Z, 0-9, '-', '_' and '.'.")
    check_fields(event_type, made.id, made.channels or None, made.tags or None, refuse)
    if faults:
        raise ValueError(" ".join(faults))
    data = payload_bytes(payload)
    body = message_body(event_type, data, event_id=made.id, channels=made.channels, tags=made.tags)
    if len(body) > max_body:
        raise ValueError(f"The request has {len(body)} bytes; at most {max_body} are allowed.")
    context = traceparent if traceparent is not None and is_traceparent(traceparent) else None
    return replace(made, payload=data, traceparent=context)


def _texts(given: Sequence[str]) -> tuple[str, ...]:
    if isinstance(given, str) or not all(isinstance(one, str) for one in given):
        raise ValueError(f"channels and tags must be lists of strings, not {given!r}")
    return tuple(given)


class Forwarder:
    """Sends the rows of an outbox, oldest first. Several forwarders may share an outbox."""

    def __init__(self, outbox: Outbox, client: Angarium, *, batch: int = BATCH) -> None:
        self._outbox = outbox
        self._client = client
        self._batch = batch

    def step(self) -> int:
        """Send one batch. Returns the number of finished rows. Raises ClientError if all rows must wait."""
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
        """Send until `stop` is set. Pauses for `every` seconds, or up to 60 s while all rows must wait."""
        pause = every
        while not stop.is_set():
            try:
                while self.step() and not stop.is_set():
                    pass
                pause = every
            except ClientError as error:
                log.warning("outbox: the server does not accept messages, retrying: %s", error)
                pause = min(60.0, pause * 2)
            stop.wait(pause)

    def _send(self, one: OutboxRow) -> None:
        try:
            self._client.send(
                one.application,
                one.event_type,
                one.payload,
                event_id=one.id,
                channels=one.channels,
                tags=one.tags,
                idempotency_key=one.id,
                traceparent=one.traceparent,
            )
        except ValueError as error:  # the row was written without `row`, or by an earlier version
            self._set_aside(one, str(error))
            return
        except Refused as error:
            if error.status in _SERVER_AWAY or not error.from_server:
                raise
            if error.status >= 500 or error.status in _TRY_LATER:
                log.warning("outbox: %s is retried later: %s", one.id, error)
                return
            if error.status != 409:  # 409: it was accepted before this forwarder or another was killed
                self._set_aside(one, str(error))
                return
        self._outbox.remove([one.id])

    def _set_aside(self, one: OutboxRow, words: str) -> None:
        log.error("outbox: %s was refused and set aside: %s", one.id, words)
        self._outbox.refuse(one.id, words)
