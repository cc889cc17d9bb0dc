"""Whole schedules, with the real dispatcher and database and a clock that is moved by hand."""

from __future__ import annotations

import itertools

import pytest

from angarium.core.schedule import parse_schedule
from angarium.store.database import Database
from tests.kit.attempts import Attempts
from tests.kit.clock import ManualClock
from tests.kit.receiver import Receiver, Reply
from tests.kit.world import World, product

DELIVERED, EXHAUSTED, CANCELED = 0, 2, 4
FULL = "5s,5m,30m,2h,5h,10h,10h"


@pytest.fixture
def story(database: Database) -> Attempts:
    """One message after another to one receiver."""
    return Attempts(world=World(database, clock=ManualClock()))


async def test_eight_attempts_in_27_hours_35_minutes_and_5_seconds(story: Attempts) -> None:
    app = await story.world.application()
    async with Receiver() as receiver, story.world.dispatching(product(FULL)) as dispatcher:
        receiver.default = Reply(500)
        await story.world.endpoint(app, receiver.url)
        async with story.world.intake(dispatcher.hand_over) as intake:
            await intake.accept(story.world.draft(app))
            times = await story.schedule()
        gaps = [round(b - a, 3) for a, b in itertools.pairwise(times)]
        assert gaps == list(parse_schedule(FULL))
        assert round(times[-1] - times[0], 3) == 27 * 3600 + 35 * 60 + 5
        assert len(receiver.requests) == 8
        assert await story.world.states() == {EXHAUSTED: 1}
        stamps = [int(request.header("webhook-timestamp") or 0) for request in receiver.requests]
        assert stamps == sorted(set(stamps)), "each attempt has a timestamp of its own"


async def test_a_success_on_the_fourth_attempt_comes_35_minutes_and_5_seconds_after_the_first(
    story: Attempts,
) -> None:
    app = await story.world.application()
    async with Receiver() as receiver, story.world.dispatching(product(FULL)) as dispatcher:
        receiver.plan(Reply(500), Reply(404), Reply(302))
        await story.world.endpoint(app, receiver.url)
        async with story.world.intake(dispatcher.hand_over) as intake:
            await intake.accept(story.world.draft(app))
            times = await story.schedule()
        assert round(times[-1] - times[0], 3) == 35 * 60 + 5
        assert await story.world.states() == {DELIVERED: 1}


async def test_retry_after_postpones_the_next_attempt(story: Attempts) -> None:
    app = await story.world.application()
    async with Receiver() as receiver, story.world.dispatching(product(FULL)) as dispatcher:
        receiver.plan(Reply(503, headers=[("retry-after", "90")]))
        await story.world.endpoint(app, receiver.url)
        async with story.world.intake(dispatcher.hand_over) as intake:
            await intake.accept(story.world.draft(app))
            times = await story.schedule()
        assert round(times[1] - times[0], 3) == 90


@pytest.mark.parametrize(
    ("hours", "disabled"),
    [
        ((0, 6 * 24), False),  # silence is not failure
        ((0, 13, 4 * 24), False),
        ((0, 13, 6 * 24), True),
        ((0, 13, 14 * 24), False),  # forgotten
    ],
)
async def test_an_endpoint_is_disabled_after_five_days_of_failures_with_evidence(
    story: Attempts, hours: tuple[int, ...], disabled: bool
) -> None:
    """In a process of its own for each message: what is known survives restarts."""
    app = await story.world.application()
    start = story.clock.now()
    async with Receiver(Reply(500)) as receiver:
        endpoint = await story.world.endpoint(app, receiver.url)
        for hour in hours:
            await story.clock.advance_to(start + hour * 3600)
            async with (
                story.world.dispatching(product("1s")) as dispatcher,
                story.world.intake(dispatcher.hand_over) as intake,
            ):
                await intake.accept(story.world.draft(app))
                await story.schedule()
        assert receiver.count == 2 * len(hours)
        (row,) = await story.world.fetch("select disabled_reason from endpoint where id = $1", endpoint.id)
        assert row["disabled_reason"] == ("failing" if disabled else None)


async def test_a_success_resets_earlier_failures(story: Attempts) -> None:
    app = await story.world.application()
    async with Receiver() as receiver, story.world.dispatching(product("1s")) as dispatcher:
        receiver.plan(Reply(500), Reply(500), Reply(200))
        receiver.default = Reply(500)
        endpoint = await story.world.endpoint(app, receiver.url)
        async with story.world.intake(dispatcher.hand_over) as intake:
            for wait in (4, 2, 0):
                await intake.accept(story.world.draft(app))
                await story.schedule()
                await story.clock.advance_to(story.clock.now() + wait * 86400)
        (row,) = await story.world.fetch("select disabled_reason from endpoint where id = $1", endpoint.id)
        assert row["disabled_reason"] is None


@pytest.mark.parametrize("restart", [False, True])
async def test_a_scheduled_message_blocks_no_other_and_keeps_its_place(
    story: Attempts, restart: bool
) -> None:
    """Also before a failed head that was accepted after it, and also in a process that has just started."""
    app = await story.world.application()
    start = story.clock.now()
    attempted: list[tuple[int, str]] = []
    async with Receiver() as receiver:
        await story.world.endpoint(app, receiver.url, fifo=True)

        async def attempts(until: float) -> None:
            async with (
                story.world.dispatching(product("30m,2h")) as dispatcher,
                story.world.intake(dispatcher.hand_over) as intake,
            ):
                if not attempted:
                    for name, wait in ((b"late", 3600), (b"later", 7200), (b"first", 0), (b"second", 0)):
                        at = start + wait if wait else None
                        await intake.accept(story.world.draft(app, b'"%s"' % name, deliver_at=at))
                while story.clock.now() < until and (at := await story.to_next_attempt()) is not None:
                    attempted.append(
                        (round(at - start), receiver.requests[len(attempted)].body.decode().strip('"'))
                    )

        receiver.plan(Reply(200), Reply(500), Reply(500))
        if restart:
            await attempts(start + 1800)
        await attempts(start + 86400)
    assert attempted == [
        (0, "first"),
        (0, "second"),
        (1800, "second"),  # due again at 9000
        (3600, "late"),
        (7200, "later"),
        (9000, "second"),
    ]
