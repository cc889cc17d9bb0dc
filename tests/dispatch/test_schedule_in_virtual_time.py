"""Whole schedules, with the real dispatcher and database and a clock that is moved by hand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from angarium.core.schedule import parse_schedule
from angarium.store.database import Database
from tests.kit.clock import ManualClock
from tests.kit.receiver import Receiver, Reply
from tests.kit.world import World, product

DELIVERED, EXHAUSTED, CANCELED = 0, 2, 4
FULL = "5s,5m,30m,2h,5h,10h,10h"


class Story:
    """One message to one receiver, step by step through virtual time."""

    def __init__(self, database: Database) -> None:
        self.clock = ManualClock()
        self.world = World(database, clock=self.clock)
        self.times: list[float] = []

    async def to_next_attempt(self, receiver: Receiver) -> bool:
        """Go to the time of the next attempt and see it made; False when none is owed any more."""
        made = len(self.times)
        rows = await self.world.fetch(
            "select min(due_at) as due_at, (select count(*) from attempt) as attempts from delivery"
        )
        if rows[0]["attempts"] == made:
            if rows[0]["due_at"] is None:
                return False
            due = rows[0]["due_at"].timestamp()
            if due > self.clock.now():
                await self.clock.advance_to(due - 0.001)
                assert len(receiver.requests) == made, "an attempt came early"
                await self.clock.advance_to(due)
            await receiver.wait_for(made + 1)
            await self.world.until(self.attempts_recorded(made + 1))
        self.times.append(self.clock.now())
        return True

    def attempts_recorded(self, count: int) -> Callable[[], Awaitable[bool]]:
        async def recorded() -> bool:
            rows = await self.world.fetch("select count(*) from attempt")
            return bool(rows[0][0] == count)

        return recorded


async def test_eight_attempts_in_27_hours_35_minutes_and_5_seconds(database: Database) -> None:
    story = Story(database)
    app = await story.world.application()
    async with Receiver() as receiver, story.world.dispatching(product(FULL)) as dispatcher:
        receiver.default = Reply(500)
        await story.world.endpoint(app, receiver.url)
        async with story.world.intake(dispatcher.hand_over) as intake:
            await intake.accept(story.world.draft(app))
            while await story.to_next_attempt(receiver):
                pass
        gaps = [round(b - a, 3) for a, b in zip(story.times, story.times[1:], strict=False)]
        assert gaps == list(parse_schedule(FULL))
        assert round(story.times[-1] - story.times[0], 3) == 27 * 3600 + 35 * 60 + 5
        assert len(receiver.requests) == 8
        assert await story.world.states() == {EXHAUSTED: 1}
        stamps = [int(request.header("webhook-timestamp") or 0) for request in receiver.requests]
        assert stamps == sorted(set(stamps)), "each attempt has a timestamp of its own"


async def test_a_success_on_the_fourth_attempt_comes_35_minutes_and_5_seconds_after_the_first(
    database: Database,
) -> None:
    story = Story(database)
    app = await story.world.application()
    async with Receiver() as receiver, story.world.dispatching(product(FULL)) as dispatcher:
        receiver.plan(Reply(500), Reply(404), Reply(302))
        await story.world.endpoint(app, receiver.url)
        async with story.world.intake(dispatcher.hand_over) as intake:
            await intake.accept(story.world.draft(app))
            while await story.to_next_attempt(receiver):
                pass
        assert round(story.times[-1] - story.times[0], 3) == 35 * 60 + 5
        assert await story.world.states() == {DELIVERED: 1}


async def test_retry_after_postpones_the_next_attempt(database: Database) -> None:
    story = Story(database)
    app = await story.world.application()
    async with Receiver() as receiver, story.world.dispatching(product(FULL)) as dispatcher:
        receiver.plan(Reply(503, headers=[("retry-after", "90")]))
        await story.world.endpoint(app, receiver.url)
        async with story.world.intake(dispatcher.hand_over) as intake:
            await intake.accept(story.world.draft(app))
            while await story.to_next_attempt(receiver):
                pass
        assert round(story.times[1] - story.times[0], 3) == 90


@pytest.mark.parametrize(("days", "disabled"), [(4, False), (6, True)])
async def test_an_endpoint_is_disabled_after_five_days_of_nothing_but_failures(
    database: Database, days: int, disabled: bool
) -> None:
    story = Story(database)
    app = await story.world.application()
    async with Receiver() as receiver, story.world.dispatching(product("1s")) as dispatcher:
        receiver.default = Reply(500)
        endpoint = await story.world.endpoint(app, receiver.url)
        async with story.world.intake(dispatcher.hand_over) as intake:
            await intake.accept(story.world.draft(app))
            while await story.to_next_attempt(receiver):
                pass
            await story.clock.advance_to(story.clock.now() + days * 86400)
            await intake.accept(story.world.draft(app))
            while await story.to_next_attempt(receiver):
                pass
        (row,) = await story.world.fetch("select disabled_reason from endpoint where id = $1", endpoint.id)
        assert row["disabled_reason"] == ("failing" if disabled else None)


async def test_a_success_forgives_the_failures_before_it(database: Database) -> None:
    story = Story(database)
    app = await story.world.application()
    async with Receiver() as receiver, story.world.dispatching(product("1s")) as dispatcher:
        receiver.plan(Reply(500), Reply(500), Reply(200))
        receiver.default = Reply(500)
        endpoint = await story.world.endpoint(app, receiver.url)
        async with story.world.intake(dispatcher.hand_over) as intake:
            for wait in (4, 2, 0):
                await intake.accept(story.world.draft(app))
                while await story.to_next_attempt(receiver):
                    pass
                await story.clock.advance_to(story.clock.now() + wait * 86400)
        (row,) = await story.world.fetch("select disabled_reason from endpoint where id = $1", endpoint.id)
        assert row["disabled_reason"] is None
