"""The worker: what it takes, what follows from each attempt, when it retries, and what it logs.

The inbox is in memory and records each call. tests/receiver/test_inbox.py has the durable ones.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from angarium.receiver import Event, Receiver, RetryLater, Taken, Worker
from angarium.testing import sign
from tests.kit.patience import PATIENCE
from tests.receiver.memory import MemoryInbox

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOW = 1_750_000_000.0


class Looks:
    """An event that is set after some looks at an inbox, and records the timeouts of its waits."""

    def __init__(self, inbox: MemoryInbox, most: int, stop: threading.Event | asyncio.Event) -> None:
        self.made, self._most, self._stop = 0, most, stop
        inbox.on_take = self._look

    def _look(self) -> None:
        self.made += 1
        if self.made == self._most:
            self._stop.set()
        if self.made == 1:
            raise ConnectionError("the inbox is down")


class PatientStop(threading.Event):
    """Records the timeout instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        return self.is_set()


def receiver_of(inbox: MemoryInbox) -> Receiver:
    return Receiver("standard", SECRET, source="shop", inbox=inbox, lease=30, ttl=500, clock=lambda: NOW)


def keep(receiver: Receiver, event_id: str = "msg_1", event_type: str = "order.filled") -> None:
    body = f'{{"type":"{event_type}"}}'
    answer = receiver.handle(body, sign(body, SECRET, id=event_id, timestamp=int(NOW)))
    assert answer.status == 202
    inbox = receiver.inbox
    assert isinstance(inbox, MemoryInbox)
    inbox.calls.clear()


def logged(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [one.__dict__["delivery"] for one in caplog.records]


def test_an_item_is_taken_with_the_receivers_lease_and_remembered_for_its_ttl() -> None:
    inbox, ran = MemoryInbox(), list[str]()
    receiver = receiver_of(inbox)
    receiver.default(lambda event: ran.append(event.id))
    for event_id in ("msg_1", "msg_2", "msg_3"):
        keep(receiver, event_id)
    assert Worker(receiver).drain() == 3
    assert ran == ["msg_1", "msg_2", "msg_3"]
    take = ("take", "shop", 30, NOW)
    assert inbox.calls == [
        take, ("done", "msg_1", 500, NOW),
        take, ("done", "msg_2", 500, NOW),
        take, ("done", "msg_3", 500, NOW),
        take,
    ]  # fmt: skip
    assert len(set(inbox.tokens)) == 4


async def test_the_worker_does_the_same_in_a_loop() -> None:
    inbox, ran = MemoryInbox(), list[str]()
    receiver = receiver_of(inbox)

    @receiver.default
    async def handler(event: Event[Any]) -> None:
        ran.append(event.id)

    for event_id in ("msg_1", "msg_2"):
        keep(receiver, event_id)
    assert await Worker(receiver).adrain() == 2
    assert ran == ["msg_1", "msg_2"]
    assert inbox.calls[1::2] == [("done", "msg_1", 500, NOW), ("done", "msg_2", 500, NOW)]


DEFAULT = (5, 60, 300, 1800, 7200, 21600)


@pytest.mark.parametrize(
    ("attempt", "schedule", "error", "delay"),
    [
        *[(number, None, RuntimeError("secret words"), delay) for number, delay in enumerate(DEFAULT, 1)],
        (7, None, RuntimeError("secret words"), None),
        (1, (9,), RuntimeError("secret words"), 9),
        (2, (9,), RuntimeError("secret words"), None),
        (1, (9,), RetryLater(42), 42),
        (2, (9,), RetryLater(42), None),
        (1, (), RuntimeError("secret words"), None),
    ],
)
def test_a_failed_item_is_due_again_after_its_delay_and_dead_after_the_last(
    attempt: int, schedule: tuple[float, ...] | None, error: Exception, delay: float | None,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    inbox = MemoryInbox()
    receiver = receiver_of(inbox)

    @receiver.default
    def handler(event: Event[Any]) -> None:
        raise error

    keep(receiver)
    kept = inbox.waiting.pop()
    inbox.waiting.append(Taken(kept.key, "", kept.item, attempt))
    caplog.clear()
    worker = Worker(receiver) if schedule is None else Worker(receiver, schedule=schedule)
    assert worker.drain() == 1
    due_at = None if delay is None else NOW + delay
    # the type of the error, never its text
    assert inbox.calls[1] == ("failed", "msg_1", type(error).__name__, due_at)
    line = {"source": "shop", "id": "msg_1", "attempt": attempt}
    again = {"outcome": "dead"} if delay is None else {"outcome": "failed", "next_in": delay}
    assert logged(caplog) == [line | again]
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_an_item_without_a_handler_is_done_and_logged_as_unrouted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "angarium.receiver")
    inbox = MemoryInbox()
    receiver = receiver_of(inbox)
    receiver.on("order.*")(lambda event: None)
    keep(receiver, "msg_1", "order.filled")
    keep(receiver, "msg_2", "video.failed")
    caplog.clear()
    assert Worker(receiver).drain() == 2
    line = {"source": "shop", "attempt": 1}
    assert logged(caplog) == [
        line | {"outcome": "handled", "id": "msg_1", "type": "order.filled"},
        line | {"outcome": "unrouted", "id": "msg_2", "type": "video.failed"},
    ]
    assert {record.levelno for record in caplog.records} == {logging.INFO}
    assert inbox.calls[3] == ("done", "msg_2", 500, NOW)


def test_the_worker_stops_between_two_items() -> None:
    inbox, stop, ran = MemoryInbox(), PatientStop(), list[str]()
    receiver = receiver_of(inbox)

    @receiver.default
    def handler(event: Event[Any]) -> None:
        ran.append(event.id)
        stop.set()

    keep(receiver, "msg_1")
    keep(receiver, "msg_2")
    Worker(receiver).run(stop)
    assert ran == ["msg_1"]
    assert [taken.key.id for taken in inbox.waiting] == ["msg_2"]
    Worker(receiver).run(stop)
    assert ran == ["msg_1"]


def is_the_line_of_an_inbox_that_is_down(caplog: pytest.LogCaptureFixture) -> None:
    assert logged(caplog) == [{"outcome": "unavailable", "source": "shop"}]
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ConnectionError)


def test_the_worker_survives_an_inbox_error_and_waits_between_looks(
    caplog: pytest.LogCaptureFixture,
) -> None:
    inbox, stop = MemoryInbox(), PatientStop()
    looks = Looks(inbox, 3, stop)
    Worker(receiver_of(inbox), poll=0.25).run(stop)
    assert looks.made == 3
    assert stop.waits == [0.25] * 3
    is_the_line_of_an_inbox_that_is_down(caplog)


async def test_the_worker_in_a_loop_survives_an_inbox_error(caplog: pytest.LogCaptureFixture) -> None:
    inbox, stop = MemoryInbox(), asyncio.Event()
    looks = Looks(inbox, 3, stop)
    # in the loop itself: an asyncio.Event must not be set in a thread
    inbox.atake = in_the_loop(inbox.take)  # type: ignore[method-assign]
    async with asyncio.timeout(PATIENCE):
        await Worker(receiver_of(inbox), poll=0.001).arun(stop)
    assert looks.made == 3
    is_the_line_of_an_inbox_that_is_down(caplog)


def in_the_loop(function: Callable[..., Any]) -> Callable[..., Any]:
    async def called(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return called


def test_a_receiver_without_an_inbox_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^this receiver has no inbox$"):
        Worker(Receiver("standard", SECRET))
