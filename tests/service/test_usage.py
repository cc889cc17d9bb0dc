"""What applications use is counted exactly, by month, and limits are enforced and reported."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from random import Random
from typing import Any

import msgspec
import pytest

from angarium.core import ids
from angarium.core.alert import OPERATIONS, Audience, Recipient
from angarium.core.errors import Conflict, Invalid, MessageLimitReached, NotFound
from angarium.core.event import Events
from angarium.core.nouns import Application, State
from angarium.core.product import STANDARD, product_of
from angarium.core.quota import QuotaLimits
from angarium.service.application import Applications
from angarium.service.intake import Accepted, Intake
from angarium.service.product import Products
from angarium.service.quota import Quotas
from angarium.service.usage import Usage, UsageFolder
from angarium.store.cancel import cancel_message
from angarium.store.usage import Used
from tests.kit.clock import ManualClock
from tests.kit.patience import until
from tests.kit.receiver import Receiver, Reply
from tests.kit.world import ORG, World, product

NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)
DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)
JANUARY = datetime(2027, 1, 1, tzinfo=UTC)
LATE = DECEMBER.timestamp() - 3600.0  # an hour before the month ends
SUMS = "select month, messages, attempts, failed, delivered, exhausted, canceled from usage where app_id = $1"


@pytest.fixture
def world(world: World) -> World:
    """Virtual time, an hour before the month ends."""
    return World(world.database, clock=ManualClock(LATE))


class Metering:
    """What adds up and limits, as in one process."""

    def __init__(self, world: World, quota: QuotaLimits, audience: Audience | None = None) -> None:
        self.world = world
        self.defaults = quota
        shared = world.database, world.clock
        self.products = Products(*shared, {STANDARD: product()} | world.products)
        self.folder = UsageFolder(
            *shared, os.urandom, self.products, quota=quota, audience=audience or Audience()
        )
        self.quota = Quotas(*shared, self.products, defaults=quota)
        self.usage = Usage(*shared, self.folder)

    @asynccontextmanager
    async def intake(self, events: Events | None = None) -> AsyncIterator[Intake]:
        """Intake with these limits."""
        async with self.world.intake(quota=self.defaults, events=events or self.folder) as intake:
            yield intake

    async def used(self, app: Application) -> dict[str, Used]:
        """The report of one application, by month."""
        rows = await self.usage.page(
            app.org_id,
            None,
            app=ids.text(ids.APPLICATION, app.id),
            since=NOVEMBER,
            until=datetime(2027, 6, 1, tzinfo=UTC),
            upwards=True,
            limit=100,
        )
        return {f"{row.month:%Y-%m}": row.used for row in rows}


async def send(world: World, intake: Intake, app: Application, count: int, **fields: Any) -> list[Any]:
    return await intake.accept_many([world.draft(app, **fields) for _ in range(count)])


def kinds(results: list[Any]) -> list[type]:
    return [type(one) for one in results]


async def advance(world: World, at: datetime) -> None:
    assert isinstance(world.clock, ManualClock)
    await world.clock.advance_to(at.timestamp())


# -- counting


async def test_messages_count_for_the_month_in_which_they_are_accepted(world: World) -> None:
    app, other = await world.application(), await world.application()
    metering = Metering(world, QuotaLimits())
    async with metering.intake() as intake:
        await send(world, intake, app, 3)
        await send(world, intake, other, 1)
        await advance(world, DECEMBER)
        await send(world, intake, app, 2)
    assert await metering.used(app) == {"2026-11": Used(messages=3), "2026-12": Used(messages=2)}
    assert await metering.used(other) == {"2026-11": Used(messages=1)}
    assert await world.fetch("select from usage_entry") == [], "entries end when they are added up"


async def test_duplicates_and_tests_to_one_endpoint_are_not_counted(world: World) -> None:
    app = await world.application()
    endpoint = await world.endpoint(app, "http://127.0.0.1:9/")
    metering = Metering(world, QuotaLimits())
    async with metering.intake() as intake:
        first = await send(world, intake, app, 1, idempotency_key=b"k" * 32, event_id="e1")
        again = await send(world, intake, app, 1, idempotency_key=b"k" * 32, event_id="e1")
        taken = await send(world, intake, app, 1, event_id="e1")
        await send(world, intake, app, 1, endpoint_id=endpoint.id)
    assert [kinds(one) for one in (first, again, taken)] == [[Accepted], [Accepted], [Conflict]]
    assert await metering.used(app) == {"2026-11": Used(messages=1)}


async def test_attempts_and_ended_deliveries_are_counted_once_each(world: World) -> None:
    app = await world.application()
    metering = Metering(world, QuotaLimits())
    world = World(world.database)
    async with (
        Receiver(Reply(200)) as good,
        Receiver(Reply(500)) as bad,
        world.dispatching(product("50ms")) as dispatcher,
        world.intake(dispatcher.hand_over) as intake,
    ):
        await world.endpoint(app, good.url)
        await world.endpoint(app, bad.url)
        await send(world, intake, app, 5)
        await world.until_states({State.DELIVERED: 5, State.EXHAUSTED: 5})
    await metering.folder.fold()
    (row,) = await world.fetch(SUMS, app.id)
    assert tuple(row)[1:] == (5, 15, 10, 5, 5, 0)
    # the history agrees
    (history,) = await world.fetch("select count(*), count(*) filter (where status = 2) from attempt")
    assert tuple(history) == (15, 10)


async def test_canceled_deliveries_are_counted(world: World) -> None:
    app = await world.application()
    await world.endpoint(app, "http://127.0.0.1:9/")
    metering = Metering(world, QuotaLimits())
    async with metering.intake() as intake:
        (message,) = [one.message for one in await send(world, intake, app, 1)]
        async with world.database.transaction() as connection:
            await cancel_message(connection, app.id, message.id, datetime.fromtimestamp(LATE, UTC))
    assert await metering.used(app) == {"2026-11": Used(messages=1, canceled=1)}


async def test_the_report_is_exact_before_entries_are_added_up_and_while_two_processes_do(
    world: World,
) -> None:
    apps = [await world.application() for _ in range(3)]
    one, two = Metering(world, QuotaLimits()), Metering(world, QuotaLimits())
    async with one.intake() as here, two.intake() as there:
        for _ in range(5):
            await asyncio.gather(
                *(send(world, intake, app, 7) for intake in (here, there) for app in apps),
                one.folder.fold(),
                two.folder.fold(),
            )
    for app in apps:
        assert await one.used(app) == {"2026-11": Used(messages=70)}
    assert [tuple(row) for row in await world.fetch("select count(*) from message")] == [(210,)]


async def test_a_transaction_that_fails_counts_nothing(world: World) -> None:
    app = await world.application()
    metering = Metering(world, QuotaLimits())
    async with metering.intake() as intake:
        results = await intake.accept_many(
            [world.draft(app), msgspec.structs.replace(world.draft(app), app="nowhere")]
        )
        assert kinds(results) == [Accepted, NotFound]
        refused = await send(world, intake, app, 1, event_type="\0")
        assert not isinstance(refused[0], Accepted)
    assert await metering.used(app) == {"2026-11": Used(messages=1)}


# -- limits


async def test_above_the_hard_limit_messages_are_refused_until_the_month_ends(world: World) -> None:
    app, other = await world.application(), await world.application()
    metering = Metering(world, QuotaLimits(messages_hard=3))
    async with metering.intake() as intake:
        assert kinds(await send(world, intake, app, 3)) == [Accepted] * 3
        await metering.folder.fold()
        (refused,) = await send(world, intake, app, 1)
        assert isinstance(refused, MessageLimitReached)
        assert (refused.limit, refused.used, refused.ends_at) == (3, 3, DECEMBER)
        assert refused.retry_after == pytest.approx(3600.0)
        assert kinds(await send(world, intake, other, 1)) == [Accepted], "others are not affected"
        before = await world.fetch("select count(*) from message where app_id = $1", app.id)
        await advance(world, DECEMBER)
        assert kinds(await send(world, intake, app, 1)) == [Accepted]
    assert before[0][0] == 3, "nothing of a refused message is stored"
    assert await metering.used(app) == {"2026-11": Used(messages=3), "2026-12": Used(messages=1)}


async def test_retries_of_accepted_messages_and_tests_are_answered_at_the_limit(world: World) -> None:
    app = await world.application()
    endpoint = await world.endpoint(app, "http://127.0.0.1:9/")
    metering = Metering(world, QuotaLimits(messages_hard=1))
    async with metering.intake() as intake:
        draft = world.draft(app, idempotency_key=b"k" * 32, event_id="e1")
        first = await intake.accept(draft)
        await metering.folder.fold()
        again = await intake.accept(draft)
        assert (again.message.id, again.replayed) == (first.message.id, True)
        with pytest.raises(Conflict):
            await intake.accept(world.draft(app, event_id="e1"))
        await intake.accept(world.draft(app, endpoint_id=endpoint.id))
        with pytest.raises(MessageLimitReached):
            await intake.accept(world.draft(app, event_id="e2", idempotency_key=b"2" * 32))
    for table in ("event_id", "idempotency"):
        assert len(await world.fetch(f"select from {table}")) == 1, "a refused message claims nothing"


async def test_a_refused_key_is_accepted_when_the_limit_is_raised(world: World) -> None:
    app = await world.application()
    ref = ids.text(ids.APPLICATION, app.id)
    metering = Metering(world, QuotaLimits(messages_hard=1))
    async with metering.intake() as intake:
        await send(world, intake, app, 1)
        await metering.folder.fold()
        draft = world.draft(app, idempotency_key=b"k" * 32)
        with pytest.raises(MessageLimitReached):
            await intake.accept(draft)
        await metering.quota.change(ORG, ref, {"messages_hard": 2})
        assert not (await intake.accept(draft)).replayed
        await metering.folder.fold()
        with pytest.raises(MessageLimitReached):
            await intake.accept(world.draft(app))
        await metering.quota.change(ORG, ref, {"messages_hard": None})
        await send(world, intake, app, 5)
        await metering.folder.fold()
        assert kinds(await send(world, intake, app, 1)) == [Accepted]


async def test_a_limit_below_what_is_used_refuses_at_once(world: World) -> None:
    app = await world.application()
    metering = Metering(world, QuotaLimits())
    async with metering.intake() as intake:
        await send(world, intake, app, 5)
        state = await metering.quota.change(ORG, ids.text(ids.APPLICATION, app.id), {"messages_hard": 5})
        assert (state.used.messages, state.limits.messages_hard, state.ends_at) == (5, 5, DECEMBER)
        assert kinds(await send(world, intake, app, 1)) == [MessageLimitReached]


async def test_a_default_that_was_raised_holds_for_applications_that_were_refused(world: World) -> None:
    """The settings of the next start: what the old limit refused is found out when the next message comes."""
    app = await world.application()
    before, after = (
        Metering(world, QuotaLimits(messages_hard=1)),
        Metering(world, QuotaLimits(messages_hard=4)),
    )
    async with before.intake() as intake:
        await send(world, intake, app, 1)
        await before.folder.fold()
        assert kinds(await send(world, intake, app, 1)) == [MessageLimitReached]
    async with after.intake() as intake:
        other = await world.application()
        drafts = [world.draft(app), world.draft(other), world.draft(app)]
        assert kinds(await intake.accept_many(drafts)) == [Accepted] * 3
    assert (await after.used(app))["2026-11"].messages == 3


async def test_a_late_count_of_the_month_before_does_not_end_a_refusal(world: World) -> None:
    app = await world.application()
    metering = Metering(world, QuotaLimits(messages_hard=1))
    async with metering.intake() as intake:
        await send(world, intake, app, 1)
        await advance(world, DECEMBER)
        await send(world, intake, app, 1)
        await metering.folder.fold()  # both months at once
        assert kinds(await send(world, intake, app, 1)) == [MessageLimitReached]
        async with world.database.connection() as connection:
            await connection.execute(
                "insert into usage_entry (app_id, month, attempts) values ($1, $2, 1)", app.id, NOVEMBER
            )
        await metering.folder.fold()
        assert kinds(await send(world, intake, app, 1)) == [MessageLimitReached]
        await advance(world, JANUARY)
        assert kinds(await send(world, intake, app, 1)) == [Accepted]


@pytest.mark.parametrize("seed", range(4))
async def test_once_a_limit_is_found_reached_neither_of_two_processes_accepts_more(
    world: World, seed: int
) -> None:
    random = Random(seed)
    app = await world.application()
    limit = random.randint(10, 30)
    both = [Metering(world, QuotaLimits(messages_hard=limit)) for _ in range(2)]
    used = before = 0
    async with both[0].intake() as one, both[1].intake() as other:
        while used < limit:
            before = used
            sizes = [random.randint(1, 5) for _ in range(random.randint(1, 6))]
            sends = [send(world, random.choice((one, other)), app, size) for size in sizes]
            await asyncio.gather(*sends, *(each.folder.fold() for each in both))
            await random.choice(both).folder.fold()
            used = (await both[0].quota.of(app)).used.messages
        for intake in (one, other):
            assert kinds(await send(world, intake, app, 3)) == [MessageLimitReached] * 3
    assert before < limit <= used <= before + sum(sizes), "no more than was sent at once"
    assert [tuple(row) for row in await world.fetch("select count(*) from message")] == [(used,)]
    assert await both[1].used(app) == {"2026-11": Used(messages=used)}


async def test_the_overshoot_is_what_is_accepted_before_the_counts_are_added_up(world: World) -> None:
    app = await world.application()
    metering, second = (
        Metering(world, QuotaLimits(messages_hard=10)),
        Metering(world, QuotaLimits(messages_hard=10)),
    )
    folding = asyncio.create_task(metering.folder.run())
    try:
        async with metering.intake() as intake, second.intake() as elsewhere:
            await asyncio.gather(send(world, intake, app, 8), send(world, elsewhere, app, 8))

            async def added() -> bool:
                assert isinstance(world.clock, ManualClock)
                await world.clock.advance_to(world.clock.now() + 1.0)
                return bool(await world.fetch("select from application where refused_until is not null"))

            await until(added)
            results = [*await send(world, intake, app, 5), *await send(world, elsewhere, app, 5)]
            assert kinds(results) == [MessageLimitReached] * 10
    finally:
        folding.cancel()
    assert (await metering.used(app))["2026-11"].messages == 16


async def test_a_deleted_application_keeps_its_months_and_reaches_no_limit(world: World) -> None:
    app = await world.application(uid="customer-1")
    desk = await world.application(org_id=OPERATIONS, uid=ORG)
    metering = Metering(world, QuotaLimits(messages_soft=1, messages_hard=1), Audience((Recipient.MAIL,)))
    async with metering.intake() as intake:
        await send(world, intake, app, 2)
        await Applications(world.database, world.clock).delete(ORG, ids.text(ids.APPLICATION, app.id))
        await metering.folder.fold()
        assert await metering.used(app) == {"2026-11": Used(messages=2)}
        (row,) = await world.fetch("select uid, reached from usage where app_id = $1", app.id)
        assert tuple(row) == ("customer-1", [])
        assert await world.fetch("select from message where app_id = $1", desk.id) == []
        assert await world.fetch("select from notice") == []
        successor = await world.application(uid="customer-1")
        assert (await metering.quota.of(successor)).used == Used(), "it begins at 0"
        assert kinds(await send(world, intake, successor, 1)) == [Accepted]


# -- products and settings


async def test_a_product_has_limits_of_its_own_and_an_application_others(world: World) -> None:
    limited = product()
    profile = msgspec.structs.replace(
        limited.profile, quota=msgspec.structs.replace(limited.profile.quota, messages_hard=7)
    )
    world.products[STANDARD] = product_of(profile, "test")
    app = await world.application()
    metering = Metering(world, QuotaLimits(messages_soft=2, messages_hard=5, endpoints_hard=9))
    state = await metering.quota.of(app)
    assert state.limits == QuotaLimits(messages_soft=2, messages_hard=7, endpoints_hard=9)
    ref = ids.text(ids.APPLICATION, app.id)
    state = await metering.quota.change(ORG, ref, {"messages_hard": None, "endpoints_soft": 1})
    assert state.limits == QuotaLimits(
        messages_soft=2, messages_hard=None, endpoints_soft=1, endpoints_hard=9
    )
    state = await metering.quota.change(ORG, ref, {}, frozenset({"messages_hard"}))
    assert state.own == {"endpoints_soft": 1}
    assert state.limits.messages_hard == 7


async def test_limits_that_make_no_sense_are_refused(world: World) -> None:
    app = await world.application()
    metering = Metering(world, QuotaLimits(messages_hard=10))
    ref = ids.text(ids.APPLICATION, app.id)
    with pytest.raises(Invalid, match="messagesSoft: Must be at most the hard limit, 10; it is 11"):
        await metering.quota.change(ORG, ref, {"messages_soft": 11})
    with pytest.raises(Invalid, match="endpointsHard"):
        await metering.quota.change(ORG, ref, {"endpoints_hard": -1})
    with pytest.raises(NotFound):
        await metering.quota.change("org_30rb8YdGqMT0qIzpgGwdXfHirMv", ref, {"messages_hard": 1})
    assert (await metering.quota.of(app)).own == {}


# -- reports


async def test_each_limit_is_reported_once_a_month(world: World) -> None:
    app = await world.application(uid="customer-1")
    desk = await world.application(org_id=OPERATIONS, uid=ORG)
    audience = Audience((Recipient.MAIL,))
    metering = Metering(world, QuotaLimits(messages_soft=2, messages_hard=4), audience)

    async def told() -> list[Any]:
        rows = await world.fetch(
            "select p.body from message m join payload p on p.message_id = m.id"
            " where m.app_id = $1 order by m.id",
            desk.id,
        )
        return [msgspec.json.decode(row[0]) for row in rows]

    async with metering.intake() as intake:
        for _ in range(3):
            await send(world, intake, app, 1)
            await metering.folder.fold()
        ref = ids.text(ids.APPLICATION, app.id)
        soft = {"quota": "messages", "limit": 2, "used": 2, "month": "2026-11"}
        assert await told() == [
            {"type": "quota.soft", "data": {"appId": ref, "appUid": "customer-1", **soft}}
        ]
        await send(world, intake, app, 2)
        await metering.folder.fold()
        await send(world, intake, app, 2)
        await metering.folder.fold()
        assert sorted(one["type"] for one in await told()) == ["quota.hard", "quota.soft"]
        await advance(world, DECEMBER)
        await send(world, intake, app, 2)
        await metering.folder.fold()
        assert sorted(one["data"]["month"] for one in await told()) == ["2026-11", "2026-11", "2026-12"]
    rows = await world.fetch("select kind, count, code, app_id, endpoint_id from notice order by kind")
    assert [tuple(row) for row in rows] == [
        ("quota.hard", 1, "messages", app.id, app.id),
        ("quota.soft", 2, "messages", app.id, app.id),
    ]


async def test_operational_webhooks_have_no_limit(world: World) -> None:
    desk = await world.application(org_id=OPERATIONS, uid=ORG)
    metering = Metering(world, QuotaLimits(messages_hard=0))
    async with metering.intake() as intake:
        await send(world, intake, desk, 2)
        await metering.folder.fold()
        assert kinds(await send(world, intake, desk, 1)) == [Accepted]


async def test_an_outsider_sees_and_counts_nothing(world: World) -> None:
    app = await world.application(uid="customer-1")
    outsider = await world.application(org_id="org_30rb8YdGqMT0qIzpgGwdXfHirMv")
    metering = Metering(world, QuotaLimits())
    async with metering.intake() as intake:
        await send(world, intake, app, 2)
        await send(world, intake, app, 1, org_id=outsider.org_id)
    window = {"since": NOVEMBER, "until": JANUARY, "upwards": True, "limit": 10}
    for named in (None, ids.text(ids.APPLICATION, app.id), "customer-1"):
        assert await metering.usage.page(outsider.org_id, None, app=named, **window) == []  # type: ignore[arg-type]
    assert (await metering.used(app))["2026-11"].messages == 2
