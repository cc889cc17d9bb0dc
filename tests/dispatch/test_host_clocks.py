"""Hosts whose clocks differ: a first-in-first-out endpoint gets messages in the order of their acceptance."""

from __future__ import annotations

import pytest

from angarium.clock import SystemClock
from angarium.store.database import Database
from tests.kit.patience import until
from tests.kit.receiver import Receiver
from tests.kit.world import World

MESSAGES = 20


class Skewed(SystemClock):
    """The clock of a host that is some seconds ahead, or behind."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self._by = by

    def now(self) -> float:
        return super().now() + self._by


@pytest.mark.parametrize("owner", [0, 1], ids=["the host ahead delivers", "the host behind delivers"])
async def test_order_follows_acceptance_whatever_the_clocks_say(database: Database, owner: int) -> None:
    ahead, behind = World(database, clock=Skewed(1.0)), World(database, clock=Skewed(-1.0))
    app = await ahead.application()
    async with Receiver() as receiver, ahead.intake() as first, behind.intake() as second:
        await ahead.endpoint(app, receiver.url, fifo=True)
        for n in range(MESSAGES):
            intake = (first, second)[n % 3 == 1]
            await intake.accept(ahead.draft(app, b'{"n": %d}' % n))
        async with (ahead, behind)[owner].dispatching():
            await until(lambda: len(receiver.requests) == MESSAGES)
        assert [request.body for request in receiver.requests] == [b'{"n": %d}' % n for n in range(MESSAGES)]
