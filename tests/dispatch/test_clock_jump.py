"""Someone sets the clock by an hour, forwards or backwards, while deliveries wait for all that lanes know:
a retry, a rate, a pause that the receiver asked for, or room."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from angarium.clock import SystemClock, datetime_at
from angarium.store.database import Database
from tests.kit.patience import until
from tests.kit.receiver import Held, Receiver, Reply
from tests.kit.stand import Stand, standing
from tests.kit.world import product

HOUR = 3600.0
BOTH = pytest.mark.parametrize("by", [HOUR, -HOUR], ids=["forwards", "backwards"])


@asynccontextmanager
async def at_work(database: Database, retries: str) -> AsyncIterator[tuple[Stand, SystemClock]]:
    clock = SystemClock()
    async with standing(database, product(retries), clock=clock) as stand:
        yield stand, clock


def set_clock(stand: Stand, clock: SystemClock, by: float) -> None:
    """As the process does when the database tells another time."""
    clock.anchor(clock.now() + by)


async def signed_at(receiver: Receiver, number: int) -> float:
    requests = await receiver.wait_for(number)
    return float(requests[-1].header("webhook-timestamp") or 0)


@BOTH
async def test_a_retry_is_sent_and_signed_with_the_new_time(database: Database, by: float) -> None:
    async with Receiver() as receiver, at_work(database, "2s") as (stand, clock):
        receiver.plan(Reply(500))
        await stand.endpoint(receiver.url)
        await stand.send("a.b")
        await stand.until_attempts(1)
        set_clock(stand, clock, by)
        assert abs(await signed_at(receiver, 2) - clock.now()) < HOUR / 2


@BOTH
async def test_a_rate_limit_continues(database: Database, by: float) -> None:
    async with Receiver() as receiver, at_work(database, "2s") as (stand, clock):
        await stand.endpoint(receiver.url, rateLimit=1)
        for _ in range(3):
            await stand.send("a.b")
        await receiver.wait_for(1)
        set_clock(stand, clock, by)
        await stand.endpoint(f"{receiver.url}/another", rateLimit=1)
        await stand.send("a.b")
        assert abs(await signed_at(receiver, 5) - clock.now()) < HOUR / 2


@BOTH
async def test_a_pause_ends(database: Database, by: float) -> None:
    async with Receiver() as receiver, at_work(database, "1s") as (stand, clock):
        receiver.plan(Reply(503, headers=[("retry-after", "2")]))
        await stand.endpoint(receiver.url)
        await stand.send("a.b")
        await stand.until_attempts(1)
        await stand.send("a.b")
        set_clock(stand, clock, by)
        await receiver.wait_for(3)


@BOTH
async def test_deliveries_that_wait_for_memory_continue(database: Database, by: float) -> None:
    async with Receiver() as receiver, at_work(database, "1s") as (stand, clock):
        slow = Held(Reply(200))
        receiver.default = slow
        await stand.endpoint(receiver.url)
        for _ in range(12):
            await stand.send("a.b")
        await receiver.wait_for(1)
        set_clock(stand, clock, by)
        receiver.default = Reply(200)
        slow.release.set()
        await receiver.wait_for(12)


async def test_stored_times_follow_except_those_that_a_sender_chose(database: Database) -> None:
    async with Receiver() as receiver, at_work(database, f"{HOUR}s") as (stand, clock):
        receiver.default = Reply(500)
        await stand.endpoint(receiver.url)
        chosen = clock.now() + 2 * HOUR
        await stand.send("a.b", deliverAt=datetime_at(chosen).isoformat())
        await stand.send("a.b")
        await stand.until_attempts(1)
        set_clock(stand, clock, -HOUR)

        async def due() -> list[float]:
            rows = await stand.world.fetch("select due_at from delivery order by due_at")
            return [row["due_at"].timestamp() for row in rows]

        async def followed() -> bool:
            return abs((await due())[0] - clock.now() - HOUR) < HOUR / 2

        await until(followed, "the retry is still an hour late")
        assert abs((await due())[1] - chosen) < 1
