"""Hosts whose clocks differ: a first-in-first-out endpoint gets messages in the order of their acceptance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pytest

from angarium.clock import SystemClock
from angarium.store import accept
from angarium.store.database import Database
from tests.kit.patience import until
from tests.kit.receiver import Received, Receiver, Reply
from tests.kit.world import World

MESSAGES = 20


class Skewed(SystemClock):
    """The clock of a host that is some seconds ahead, or behind."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self._by = by

    def now(self) -> float:
        return super().now() + self._by


@dataclass(frozen=True)
class Start:
    """One way in which a delivery starts. `due_in`: seconds ahead for which messages are accepted; `room`:
    deliveries that the statement that accepts writes; `fails`: requests that fail first."""

    due_in: float = 0.0
    room: int = accept.BASE
    fails: int = 0


STARTS: Final = {
    "at once": Start(),
    "tried again": Start(fails=2),
    "scheduled": Start(due_in=0.5),
    "a slice of a large message": Start(room=0),
}


class Failing:
    """Requests that fail, and then none."""

    def __init__(self, count: int) -> None:
        self._left = count

    def __call__(self, _: Received) -> Reply:
        self._left -= 1
        return Reply(500 if self._left >= 0 else 200)


@pytest.mark.parametrize("owner", [0, 1], ids=["the host ahead delivers", "the host behind delivers"])
@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS.keys())
async def test_order_follows_acceptance_whatever_the_clocks_say(
    database: Database, monkeypatch: pytest.MonkeyPatch, start: Start, owner: int
) -> None:
    monkeypatch.setattr(accept, "BASE", start.room)
    monkeypatch.setattr(accept, "EACH", 0 if not start.room else accept.EACH)
    ahead, behind = World(database, clock=Skewed(1.0)), World(database, clock=Skewed(-1.0))
    app = await ahead.application()
    due_at = ahead.clock.now() + start.due_in  # said by the sender
    async with (
        Receiver(Failing(start.fails)) as receiver,
        ahead.intake() as first,
        behind.intake() as second,
    ):
        await ahead.endpoint(app, receiver.url, fifo=True)
        for n in range(MESSAGES):
            intake = (first, second)[n % 3 == 1]
            draft = ahead.draft(app, b'{"n": %d}' % n, deliver_at=due_at if start.due_in else None)
            await intake.accept(draft)
        rows = await ahead.fetch("select (select count(*) from fan_out), (select count(*) from retry)")
        assert (rows[0][0] > 0, rows[0][1] > 0) == (not start.room, bool(start.due_in)), (
            "it starts in this way"
        )
        async with (ahead, behind)[owner].dispatching():
            await until(lambda: len(receiver.requests) == MESSAGES + start.fails)
        bodies = [request.body for request in receiver.requests]
        assert bodies[: start.fails] == [b'{"n": 0}'] * start.fails
        assert bodies[start.fails :] == [b'{"n": %d}' % n for n in range(MESSAGES)]
