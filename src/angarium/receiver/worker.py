"""Runs the handlers for the items of an inbox, and retries those that fail.

    Worker(receiver).run(stop)          # in a thread or process of its own; `await arun(stop)` in a loop

`python -m angarium.receiver module:receiver` does this until SIGINT or SIGTERM.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from angarium.receiver.backend import Inbox, Taken
from angarium.receiver.errors import RetryLater
from angarium.receiver.flow import Flow, arun, run, step
from angarium.receiver.outcome import record
from angarium.receiver.receiver import Receiver

SCHEDULE = (5.0, 60.0, 300.0, 1800.0, 7200.0, 21600.0)
"""Seconds between attempts, each from the previous failure. After the last one the item is dead."""
POLL = 1.0
"""Seconds between two looks at an empty inbox."""


class Worker:
    """Any number of workers may share an inbox. If a handler takes longer than the receiver's lease, another
    worker may start it again. Times are in seconds."""

    def __init__(
        self, receiver: Receiver, *, schedule: Sequence[float] = SCHEDULE, poll: float = POLL
    ) -> None:
        if receiver.inbox is None:
            raise ValueError("this receiver has no inbox")
        self._receiver = receiver
        self._inbox: Inbox = receiver.inbox
        self._schedule = tuple(schedule)
        self._poll = poll

    def drain(self) -> int:
        """Run the handler for each item that is due now. Returns the number of attempts."""
        return run(self._drain(threading.Event()))

    async def adrain(self) -> int:
        return await arun(self._drain(asyncio.Event()))

    def run(self, stop: threading.Event) -> None:
        """Run until `stop` is set. The current item is finished first."""
        while not stop.is_set():
            try:
                run(self._drain(stop))
            except Exception as error:
                record("unavailable", level=logging.ERROR, error=error, source=self._receiver.source)
            stop.wait(self._poll)

    async def arun(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await arun(self._drain(stop))
            except Exception as error:
                record("unavailable", level=logging.ERROR, error=error, source=self._receiver.source)
            try:
                async with asyncio.timeout(self._poll):
                    await stop.wait()
            except TimeoutError:
                continue

    def _drain(self, stop: threading.Event | asyncio.Event) -> Flow[int]:
        receiver, made = self._receiver, 0
        while not stop.is_set():
            take = {"lease": receiver.lease, "now": receiver.clock()}
            taken: Taken | None = yield step(self._inbox, "take", receiver.source, uuid4().hex, **take)
            if taken is None:
                break
            made += 1
            yield from self._attempt(taken)
        return made

    def _attempt(self, taken: Taken) -> Flow[None]:
        receiver = self._receiver
        known: dict[str, Any] = {"source": taken.key.source, "id": taken.key.id, "attempt": taken.attempt}
        try:
            event = receiver.load(taken.item)
            routed = yield from receiver.work(event)
        except GeneratorExit:
            raise
        except Exception as error:
            delay = self._delay(taken.attempt, error)
            due_at = None if delay is None else receiver.clock() + delay
            # only the type of the error: its text may contain data
            yield step(self._inbox, "failed", taken, type(error).__name__, due_at=due_at)
            outcome = "dead" if delay is None else "failed"
            record(outcome, level=logging.ERROR, error=error, **known, next_in=delay)
        else:
            yield step(self._inbox, "done", taken, ttl=receiver.ttl, now=receiver.clock())
            record("handled" if routed else "unrouted", **known, type=event.type)

    def _delay(self, attempt: int, error: Exception) -> float | None:
        if attempt > len(self._schedule):
            return None
        return error.seconds if isinstance(error, RetryLater) else self._schedule[attempt - 1]


def located(place: str) -> Receiver:
    """The Receiver at `module:name`; the module may be in the working directory. Default name: `receiver`.

    Raises TypeError if it is not a Receiver, and what importing the module raises.
    """
    module, _, name = place.partition(":")
    if not {"", str(Path.cwd())} & set(sys.path):
        sys.path.insert(0, str(Path.cwd()))
    found = getattr(importlib.import_module(module), name or "receiver")
    if not isinstance(found, Receiver):
        raise TypeError(f"{place} is not a Receiver")
    return found
