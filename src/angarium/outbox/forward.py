"""Forwarding: claim some rows, send them, and take them out; no transaction is open meanwhile.

What happens to a row that the server does not accept:

- The server is away, overloaded, or does not accept the token (401, 403, 429, 502, 503, 504, or an answer
  that is not Angarium's): the row stays, and so do those after it. The forwarder tries again.
- The server fails on this row (500 and other 5xx, 408, 425): the row stays claimed, so it is tried again
  when the claim ends. Those after it go on.
- The server refuses this row (unknown application, too large, ...): it is set aside with the reason, and
  logged. `refused` lists these rows, and `restore` makes them wait to be sent again.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from angarium.client import Angarium, ClientError, Refused
from angarium.client.angarium import message_body
from angarium.message_form import MAX_BODY, check_fields, encode, is_event_type

log = logging.getLogger(__name__)

CLAIM: Final = 120.0  # seconds after which rows that a forwarder claimed and left are anybody's again
BATCH: Final = 100
_SERVER_AWAY: Final = frozenset({401, 403, 429, 502, 503, 504})
_TRY_LATER: Final = frozenset({408, 425})


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One message to send; `id` is what it is known by to the server."""

    id: str
    application: str
    event_type: str
    payload: bytes
    channels: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


class Outbox(Protocol):
    """A table of rows. Each method is a transaction of its own."""

    def claim(self, limit: int, seconds: float) -> Sequence[OutboxRow]:
        """The oldest rows that nobody has claimed, now ours for so long."""

    def remove(self, ids: Sequence[str]) -> None:
        """These were accepted."""

    def release(self, ids: Sequence[str]) -> None:
        """These were not sent; they are anybody's again."""

    def refuse(self, id: str, words: str) -> None:  # noqa: A002
        """The server does not accept this one: keep it, with the reason, out of the way."""

    def refused(self, limit: int = 100) -> Sequence[tuple[OutboxRow, str]]:
        """The oldest rows that were refused, each with the reason."""

    def restore(self, ids: Sequence[str] | None = None) -> int:
        """These refused rows (None: all of them) wait to be sent again; gives how many there were."""


def row(
    application: str,
    event_type: str,
    payload: Any,
    channels: Sequence[str] = (),
    tags: Sequence[str] = (),
    *,
    max_body: int = MAX_BODY,
) -> OutboxRow:
    """A new row. `payload` is a JSON object: anything that json can write as one, or its text in bytes.

    Raises ValueError for what the server would not accept, so that it fails in the business transaction and
    not after it. `max_body`: bytes of a request body that the server takes.
    """
    made = OutboxRow(
        f"outbox-{uuid.uuid4().hex}", application, event_type, b"", _texts(channels), _texts(tags)
    )
    faults: list[str] = []

    def refuse(field: str, words: str) -> None:
        faults.append(f"{field}: {words}")

    for field, value in (("application", application), ("eventType", event_type)):
        if not isinstance(value, str):
            raise ValueError(f"{field}: text is needed, not {type(value).__name__}.")
    if not is_event_type(application):
        refuse("application", "The id or uid is 1 to 256 of a-z, A-Z, 0-9, '-', '_' and '.'.")
    check_fields(event_type, made.id, made.channels or None, made.tags or None, refuse)
    if faults:
        raise ValueError(" ".join(faults))
    data = bytes(payload) if isinstance(payload, bytes | bytearray | memoryview) else encode(payload)
    body = message_body(event_type, data, event_id=made.id, channels=made.channels, tags=made.tags)
    if len(body) > max_body:
        raise ValueError(f"The message has {len(body)} bytes as a request; {max_body} are allowed.")
    return replace(made, payload=data)


def _texts(given: Sequence[str]) -> tuple[str, ...]:
    if isinstance(given, str) or not all(isinstance(one, str) for one in given):
        raise ValueError(f"channels and tags are lists of texts, not {given!r}")
    return tuple(given)


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
            except ClientError as error:
                log.warning("outbox: not forwarded, trying again: %s", error)
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
            )
        except ValueError as error:  # a row that was written without `row`, or by an earlier version
            self._set_aside(one, str(error))
            return
        except Refused as error:
            if error.status in _SERVER_AWAY or not error.from_server:
                raise
            if error.status >= 500 or error.status in _TRY_LATER:
                log.warning("outbox: %s is tried again later: %s", one.id, error)
                return
            if error.status != 409:  # 409: accepted before, and we were killed before we could note that
                self._set_aside(one, str(error))
                return
        self._outbox.remove([one.id])

    def _set_aside(self, one: OutboxRow, words: str) -> None:
        log.error("outbox: %s is refused and set aside: %s", one.id, words)
        self._outbox.refuse(one.id, words)
