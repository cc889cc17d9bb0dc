"""Inboxes: events are acknowledged when they are stored, and no event is lost if a worker dies."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from angarium.receiver import Answer, Event, Inbox, Receiver, RetryLater, SqliteInbox, Worker
from angarium.testing import sign
from tests.kit.patience import PATIENCE, wait_until
from tests.receiver import place
from tests.receiver.memory import Nowhere

ROOT = Path(__file__).parents[2]
BODY = b'{"type":"order.filled","data":{"id":"ord_1"}}'
kinds = pytest.mark.parametrize("stored", place.INBOXES, indirect=True)


class Now:
    def __init__(self) -> None:
        self.time = time.time()

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def inbox(stored: str) -> Iterator[Any]:
    with contextlib.ExitStack() as stack:
        yield place.open_inbox(stored, stack)


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def receiver(inbox: Inbox, now: Now) -> Receiver:
    return Receiver("standard", place.SECRET, inbox=inbox, clock=now)


def post(receiver: Receiver, event_id: str = "msg_1") -> Answer:
    return receiver.handle(BODY, sign(BODY, place.SECRET, id=event_id, timestamp=int(receiver.clock())))


@kinds
def test_an_event_is_stored_before_the_response_and_handled_once(receiver: Receiver, inbox: Any) -> None:
    ran: list[Event[Any]] = []
    receiver.on("order.*")(ran.append)
    assert [post(receiver).status for _ in range(2)] == [202, 200]
    assert (ran, inbox.count("standard")) == ([], {"waiting": 1, "done": 0, "dead": 0})
    worker = Worker(receiver)
    assert [worker.drain() for _ in range(2)] == [1, 0]
    assert (ran[0].id, ran[0].type, ran[0].raw, ran[0].data) == (
        "msg_1",
        "order.filled",
        BODY,
        {"id": "ord_1"},
    )
    assert post(receiver).status == 200
    assert (worker.drain(), inbox.count("standard")["done"]) == (0, 1)


@kinds
def test_a_failing_handler_is_retried_on_the_schedule_and_then_dead(
    receiver: Receiver, inbox: Any, now: Now
) -> None:
    attempts: list[float] = []

    @receiver.default
    def handler(event: Event[Any]) -> None:
        attempts.append(now())
        raise RetryLater(7) if len(attempts) == 2 else RuntimeError("secret words")

    post(receiver)
    worker = Worker(receiver, schedule=(5, 60))
    started = now()
    for _ in range(20):
        worker.drain()
        now.time += 1
    now.time += 100_000
    worker.drain()
    assert [round(one - started) for one in attempts] == [0, 5, 12]
    assert inbox.count("standard") == {"waiting": 0, "done": 0, "dead": 1}
    assert "secret" not in str(inbox._database.rows("select * from angarium_inbox"))
    assert inbox.revive("standard", now=now()) == 1
    worker.drain()
    assert len(attempts) == 4


@kinds
def test_workers_share_an_inbox_and_each_event_is_handled_once(receiver: Receiver) -> None:
    ran: list[str] = []
    receiver.default(lambda event: ran.append(event.id))
    events = [f"msg_{number:02}" for number in range(30)]
    for event_id in events:
        assert post(receiver, event_id).status == 202
    stop = threading.Event()
    workers = [threading.Thread(target=Worker(receiver, poll=0.01).run, args=[stop]) for _ in range(3)]
    for worker in workers:
        worker.start()
    wait_until(lambda: len(ran) >= len(events))
    stop.set()
    for worker in workers:
        worker.join()
    assert sorted(ran) == events


@pytest.mark.parametrize("stored", ["sqlite"], indirect=True)
async def test_a_worker_in_a_loop_runs_async_handlers(receiver: Receiver) -> None:
    ran, stop = list[str](), asyncio.Event()

    @receiver.default
    async def handler(event: Event[Any]) -> None:
        ran.append(event.id)
        if len(ran) == 2:
            stop.set()

    for event_id in ("msg_1", "msg_2"):
        body_headers = sign(BODY, place.SECRET, id=event_id, timestamp=int(receiver.clock()))
        assert (await receiver.ahandle(BODY, body_headers)).status == 202
    async with asyncio.timeout(PATIENCE):
        await Worker(receiver, poll=0.01).arun(stop)
    assert ran == ["msg_1", "msg_2"]
    assert await Worker(receiver).adrain() == 0


@pytest.mark.parametrize("stored", ["sqlite"], indirect=True)
def test_an_unavailable_inbox_is_503(receiver: Receiver, stored: str) -> None:
    with contextlib.closing(sqlite3.connect(stored.partition(" ")[2])) as connection:
        connection.execute("drop table angarium_inbox")
    answer = post(receiver)
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")


APPLICATION = """
import os, sys, time
from angarium.receiver import Receiver, SqliteInbox

receiver = Receiver("standard", {secret!r}, inbox=SqliteInbox("inbox.db"), lease=1)

@receiver.default
def handler(event):
    with open("ran", "a") as file:
        file.write(event.id + "\\n")
    if os.environ.get("HANG"):
        time.sleep(600)
"""


def test_the_command_handles_the_item_of_a_killed_worker_and_stops_on_sigterm(
    directory: Path,
) -> None:
    (directory / "shop.py").write_text(APPLICATION.format(secret=place.SECRET))
    receiver = Receiver("standard", place.SECRET, inbox=SqliteInbox(directory / "inbox.db"))
    ran = directory / "ran"
    with worker(directory, HANG="1") as first:
        assert post(receiver).status == 202
        wait_until(lambda: ran.exists() and ran.read_text() == "msg_1\n")
        first.kill()
        first.wait()
    with worker(directory) as second:
        wait_until(lambda: place_count(directory)["done"] == 1)
        second.send_signal(signal.SIGTERM)
        assert second.wait(PATIENCE) == 0
    assert ran.read_text() == "msg_1\nmsg_1\n"


def place_count(directory: Path) -> dict[str, int]:
    return SqliteInbox(directory / "inbox.db").count("standard")


@contextlib.contextmanager
def worker(directory: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "angarium.receiver", "shop:receiver", "--poll", "0.05"]
    with subprocess.Popen(command, cwd=directory, env={**os.environ, **environment}) as started:
        try:
            yield started
        finally:
            started.kill()


def test_an_inbox_with_a_queue_and_a_worker_without_an_inbox_are_refused(directory: Path) -> None:
    inbox = SqliteInbox(directory / "inbox.db")
    with pytest.raises(ValueError, match="inbox"):
        Receiver("standard", place.SECRET, inbox=inbox, queue=Nowhere())
    with pytest.raises(ValueError, match="no inbox"):
        Worker(Receiver("standard", place.SECRET))
