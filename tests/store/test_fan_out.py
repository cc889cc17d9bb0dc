"""Fan-out in the database: what is accepted at once, what is written later, and that each is written once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.nouns import Application
from angarium.service.replay import Replay
from angarium.store import accept, fan_out, requeue
from angarium.store.accept import BASE, EACH, LOOKS, Item, NewDelivery, Stored
from angarium.store.cancel import cancel_message
from angarium.store.target import hold_target
from tests.kit import many
from tests.kit.patience import until
from tests.kit.task import finish_tasks
from tests.kit.world import World

ENTRIES = "select endpoint_id, message_id, seq from pending order by endpoint_id, message_id"
BLOCKED = """
select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
"""
WAITING = "select message_id, app_id, seq, after_id from fan_out order by seq"


def item(world: World, to: Application, **fields: Any) -> Item:
    now = world.clock.now()
    made = Item(
        id=world.new_id(),
        org_id=to.org_id,
        app=ids.text(ids.APPLICATION, to.id),
        event_type="order.filled",
        payload=b"{}",
        event_id=None,
        channels=(),
        tags=(),
        expires_at=datetime_at(now + 86400),
        key=None,
        endpoint_id=None,
        due_at=now,
    )
    return replace_item(made, **fields)


def now(world: World) -> datetime:
    return datetime_at(world.clock.now())


def replace_item(made: Item, **fields: Any) -> Item:
    return Item(**{name: fields.get(name, getattr(made, name)) for name in made.__struct_fields__})


async def store(
    world: World, *items: Item, last: Sequence[str] = ()
) -> tuple[list[Stored], list[NewDelivery]]:
    async with world.database.connection() as connection:
        return await accept.accept(connection, items, world.clock.now(), last=last)


async def write_all(world: World, app: Application) -> list[fan_out.FanOutSlice]:
    slices = []
    while (made := await fan_out.write(world.database, app.id, world.clock.now())) is not None:
        slices.append(made)
    return slices


async def crowd(world: World, app: Application, count: int, **fields: Any) -> list[UUID]:
    async with world.database.connection() as connection:
        return await many.endpoints(connection, app, count, **fields)


async def entries(world: World) -> list[tuple[UUID, UUID]]:
    return [(row["endpoint_id"], row["message_id"]) for row in await world.fetch(ENTRIES)]


async def test_ten_thousand_endpoints_get_the_message_once_each(world: World) -> None:
    app = await world.application()
    everyone = await crowd(world, app, 10_000)
    one = item(world, app)
    (stored,), new_deliveries = await store(world, one)
    assert (stored.stored, stored.late, new_deliveries) == (True, True, [])
    assert not await entries(world)
    slices = await write_all(world, app)
    assert await entries(world) == [(endpoint, one.id) for endpoint in everyone]
    assert sorted(made.endpoint_id for part in slices for made in part.new_deliveries) == everyone
    assert {made.payload for part in slices for made in part.new_deliveries} == {b"{}"}
    assert max(len(part.new_deliveries) for part in slices) <= fan_out.ROOM + 1
    assert sum(part.done for part in slices) == 1
    assert not await world.fetch(WAITING)


async def test_a_message_that_fits_is_written_with_its_acceptance(world: World) -> None:
    app = await world.application()
    everyone = await crowd(world, app, BASE)
    one = item(world, app)
    (stored,), new_deliveries = await store(world, one)
    assert not stored.late
    assert [made.endpoint_id for made in new_deliveries] == everyone
    assert await entries(world) == [(endpoint, one.id) for endpoint in everyone]
    assert not await world.fetch(WAITING)


async def test_no_transaction_writes_more_than_its_limit(world: World) -> None:
    """Read from the database: what one transaction wrote has one `xmin`."""
    apps = [await world.application() for _ in range(3)]
    for app in apps:
        await crowd(world, app, 700)
    batch = [item(world, app) for _ in range(40) for app in apps]
    await store(world, *batch)
    for app in apps:
        await write_all(world, app)
    rows = await world.fetch("select count(*) as deliveries from pending group by xmin::text")
    assert sum(row["deliveries"] for row in rows) == 700 * len(batch)
    room = max(BASE + (EACH + 1) * len(batch), fan_out.ROOM + fan_out.MESSAGES)
    assert max(row["deliveries"] for row in rows) <= room


async def test_large_messages_do_not_use_up_the_limit_of_their_batch(world: World) -> None:
    """Once it is known whose messages are large."""
    large, small = await world.application(), await world.application()
    await crowd(world, large, 2000)
    (endpoint,) = await crowd(world, small, 1)
    batch = [*(item(world, large) for _ in range(50)), *(item(world, small) for _ in range(50))]
    stored, new_deliveries = await store(world, *batch)
    assert [one.large for one in stored] == [True] + [False] * 99
    stored, new_deliveries = await store(
        world, *(replace_item(one, id=world.new_id()) for one in batch), last=[batch[0].app]
    )
    assert [one.late for one in stored] == [True] * 50 + [False] * 50
    assert [one.endpoint_id for one in new_deliveries] == [endpoint] * 50


async def test_a_statement_reads_a_bounded_number_of_endpoints(world: World) -> None:
    """Though no message is for them."""
    app = await world.application()
    await crowd(world, app, LOOKS + 2, event_types=["other.*"])
    (stored,), _ = await store(world, item(world, app))
    assert stored.late
    slices = await write_all(world, app)
    assert [(len(made.new_deliveries), made.done) for made in slices] == [(0, 0), (0, 1)]
    assert not await world.fetch(WAITING)


async def test_the_one_endpoint_of_a_test_is_found_among_any_number(world: World) -> None:
    app = await world.application()
    everyone = await crowd(world, app, LOOKS + 2)
    (stored,), new_deliveries = await store(world, item(world, app, endpoint_id=everyone[-1]))
    assert not stored.late
    assert [(one.endpoint_id, one.test) for one in new_deliveries] == [(everyone[-1], True)]


async def test_several_messages_share_a_slice_and_go_in_order(world: World) -> None:
    app = await world.application()
    everyone = await crowd(world, app, 20)
    batch = [item(world, app) for _ in range(100)]
    stored, _ = await store(world, *batch)
    assert [one.late for one in stored] == sorted(one.late for one in stored)
    late = [one.id for one, said in zip(batch, stored, strict=True) if said.late]
    assert [row["message_id"] for row in await world.fetch(WAITING)] == late
    slices = await write_all(world, app)
    assert slices[0].done > 1
    assert await entries(world) == sorted((endpoint, one.id) for endpoint in everyone for one in batch)


async def test_a_slice_that_is_not_committed_is_written_again(world: World) -> None:
    app = await world.application()
    everyone = await crowd(world, app, 3 * fan_out.ROOM)
    one = item(world, app)
    await store(world, one)
    assert await fan_out.write(world.database, app.id, world.clock.now())
    written = await entries(world)

    async with world.database.connection() as connection:
        killed: Any = connection.transaction()
        await killed.start()
        held = await fan_out.claim(connection, app.id, 9)
        assert held is not None
        assert await fan_out.write_slice(connection, app.id, held, world.clock.now())
        assert len(await connection.fetch(ENTRIES)) > len(written)
        await killed.rollback()
    assert await entries(world) == written
    await write_all(world, app)
    assert await entries(world) == [(endpoint, one.id) for endpoint in everyone]


async def test_two_processes_never_write_for_one_application_at_a_time(world: World) -> None:
    app, other = await world.application(), await world.application()
    everyone = await crowd(world, app, 4 * fan_out.ROOM)
    await crowd(world, other, 2 * fan_out.ROOM)
    batch = [item(world, app) for _ in range(3)]
    await store(world, *batch, item(world, other))
    async with world.database.transaction() as connection:
        assert await fan_out.claim(connection, app.id, 1)
        assert await fan_out.write(world.database, app.id, world.clock.now()) is None
        assert await fan_out.write(world.database, other.id, world.clock.now()) is not None
    await asyncio.gather(*(write_all(world, app) for _ in range(4)))
    await write_all(world, app)  # the others may have left while one was at it
    await write_all(world, other)
    found = [entry for entry in await entries(world) if entry[0] in set(everyone)]
    assert found == sorted((endpoint, one.id) for endpoint in everyone for one in batch)


async def test_an_endpoint_gets_no_message_accepted_before_it_was_created(world: World) -> None:
    """Whatever the clock said that its id is from."""
    app = await world.application()
    before = await crowd(world, app, 2 * fan_out.ROOM)
    one = item(world, app)
    await store(world, one)
    old, new = UUID(int=1), UUID(int=(1 << 128) - 1)
    for made in (old, new):
        await world.endpoint(app, "http://127.0.0.1:9/", id=made, shard=made.int % 64)
    await write_all(world, app)
    assert await entries(world) == [(endpoint, one.id) for endpoint in before]


async def test_an_endpoint_of_a_clock_that_is_ahead_gets_what_is_accepted_after(world: World) -> None:
    app = await world.application()
    before = await crowd(world, app, 2 * fan_out.ROOM)
    ahead = ids.new(world.clock.now() + 3600, os.urandom(8))
    await world.endpoint(app, "http://127.0.0.1:9/", id=ahead, shard=ahead.int % 64)
    one = item(world, app)
    await store(world, one)
    await write_all(world, app)
    assert await entries(world) == [(endpoint, one.id) for endpoint in [*before, ahead]]


@pytest.mark.parametrize("change", ["disabled_at", "deleted_at", "event_types"])
async def test_the_subscription_at_the_time_of_the_slice_counts(world: World, change: str) -> None:
    app = await world.application()
    everyone = await crowd(world, app, 3 * fan_out.ROOM)
    one = item(world, app)
    await store(world, one)
    assert await fan_out.write(world.database, app.id, world.clock.now())
    written = len(await entries(world))
    value = "'{other}'" if change == "event_types" else "updated_at"
    await world.fetch(f"update endpoint set {change} = {value} where id = $1", everyone[-1])
    await write_all(world, app)
    assert 0 < written < len(everyone)
    assert await entries(world) == [(endpoint, one.id) for endpoint in everyone[:-1]]


async def test_an_application_that_is_deleted_gets_nothing_more(world: World) -> None:
    app = await world.application()
    await crowd(world, app, 3 * fan_out.ROOM)
    await store(world, *(item(world, app) for _ in range(3)))
    await fan_out.write(world.database, app.id, world.clock.now())
    written = await entries(world)
    await world.fetch("update application set deleted_at = updated_at")
    await write_all(world, app)
    assert await entries(world) == written
    assert not await world.fetch(WAITING)


async def test_a_message_without_payload_is_not_written_further(world: World) -> None:
    app = await world.application()
    await crowd(world, app, 3 * fan_out.ROOM)
    one = item(world, app)
    await store(world, one)
    await fan_out.write(world.database, app.id, world.clock.now())
    async with world.database.transaction() as connection:
        canceled = await cancel_message(connection, app.id, one.id, now(world))
    assert canceled
    assert not await write_all(world, app)
    assert await world.states() == {4: canceled}


async def test_a_message_that_was_deleted_is_skipped(world: World) -> None:
    app = await world.application()
    everyone = await crowd(world, app, 2 * fan_out.ROOM)
    gone, one = item(world, app), item(world, app)
    await store(world, gone, one)
    await world.fetch("delete from message where id = $1", gone.id)
    await write_all(world, app)
    assert await entries(world) == [(endpoint, one.id) for endpoint in everyone]
    assert not await world.fetch(WAITING)


async def test_a_message_for_a_later_time_is_scheduled(world: World) -> None:
    app = await world.application()
    everyone = await crowd(world, app, 2 * fan_out.ROOM)
    await store(world, item(world, app, due_at=world.clock.now() + 3600))
    await write_all(world, app)
    rows = await world.fetch("select endpoint_id from retry where scheduled and due_at > $1", now(world))
    assert sorted(row["endpoint_id"] for row in rows) == everyone


async def test_payloads_are_handed_over_up_to_a_bound(world: World) -> None:
    app = await world.application()
    await crowd(world, app, 40)
    body = b"x" * (fan_out.BYTES // 3)
    batch = [item(world, app, payload=body, expires_at=item(world, app).expires_at) for _ in range(12)]
    stored, _ = await store(world, *batch)
    assert any(one.late for one in stored)
    for made in await write_all(world, app):
        bodies = {one.message_id: len(one.payload) for one in made.new_deliveries if one.payload is not None}
        assert sum(bodies.values()) <= fan_out.BYTES


async def test_first_in_first_out_lanes_keep_the_order_of_acceptance(world: World) -> None:
    """A small message that is accepted behind a large one is not written before it, in these lanes only."""
    app = await world.application()
    (first,) = await crowd(world, app, 1, fifo=True, event_types=["order.filled", "small"])
    await crowd(world, app, 2 * fan_out.ROOM, event_types=["order.filled"])
    free = await world.endpoint(app, "http://127.0.0.1:9/", event_types=("free",))
    large, small = item(world, app), item(world, app, event_type="small")
    await store(world, large)
    (stored,), new_deliveries = await store(world, small)
    assert (stored.late, new_deliveries) == (True, [])
    (stored,), new_deliveries = await store(world, item(world, app, event_type="free"))
    assert not stored.late
    assert [one.endpoint_id for one in new_deliveries] == [free.id]
    await write_all(world, app)
    rows = await world.fetch("select message_id from pending where endpoint_id = $1 order by seq", first)
    assert [row["message_id"] for row in rows] == [large.id, small.id]
    (stored,), new_deliveries = await store(world, item(world, app, event_type="small"))
    assert not stored.late


async def test_the_order_holds_within_a_batch_by_id_and_by_uid(world: World) -> None:
    app = await world.application(uid="customer")
    (first,) = await crowd(world, app, 1, fifo=True)
    await crowd(world, app, 2 * fan_out.ROOM, event_types=["large"])
    batch = [
        item(world, app),
        item(world, app, event_type="large"),
        item(world, app, app="customer"),
        item(world, app),
    ]
    for last in ((), [batch[0].app], ["customer"]):
        made = [replace_item(one, id=world.new_id()) for one in batch]
        await store(world, *made, last=last)
        await write_all(world, app)
        rows = await world.fetch("select message_id from pending where endpoint_id = $1 order by seq", first)
        assert [row["message_id"] for row in rows][-4:] == [one.id for one in made]


async def test_replay_leaves_out_what_an_endpoint_still_gets(world: World) -> None:
    app = await world.application()
    everyone = await crowd(world, app, 2 * fan_out.ROOM)
    one = item(world, app)
    await store(world, one)
    late = await world.endpoint(app, "http://127.0.0.1:9/")
    replay = Replay(world.database, world.clock, os.urandom)
    since = now(world) - timedelta(hours=1)
    last = ids.text(ids.ENDPOINT, everyone[-1])
    assert (await replay.count_missing(app.id, last, since, None)).number == 0
    for endpoint in (last, ids.text(ids.ENDPOINT, late.id)):
        await replay.replay_missing(app.org_id, app.id, endpoint, since, None)
    await finish_tasks(world.database, world.clock)
    await write_all(world, app)
    assert await entries(world) == [(endpoint, one.id) for endpoint in everyone]
    queued = await world.fetch("select endpoint_id from retry")
    assert [row["endpoint_id"] for row in queued] == [late.id], "it was not there when the message came"
    assert (await replay.count_missing(app.id, last, since, None)).number == 0


async def test_a_resend_before_the_slice_writes_one_delivery(world: World) -> None:
    app = await world.application()
    everyone = await crowd(world, app, 3 * fan_out.ROOM)
    unwilling = await world.endpoint(app, "http://127.0.0.1:9/", event_types=("other",))
    one = item(world, app)
    await store(world, one)
    await fan_out.write(world.database, app.id, world.clock.now())
    replay = Replay(world.database, world.clock, os.urandom)
    for endpoint in (everyone[0], everyone[-1], unwilling.id):
        await replay.resend(app.id, ids.text(ids.MESSAGE, one.id), ids.text(ids.ENDPOINT, endpoint))
    await write_all(world, app)
    rows = await world.fetch("select endpoint_id, state, resume_at is not null as goes_on from retry")
    manual = {row["endpoint_id"]: (row["state"], row["goes_on"]) for row in rows}
    assert manual == {everyone[0]: (1, True), everyone[-1]: (1, True), unwilling.id: (2, False)}
    assert await entries(world) == [(endpoint, one.id) for endpoint in everyone[1:-1]]
    assert not await world.fetch(WAITING)


async def test_a_slice_waits_for_a_concurrent_resend(world: World) -> None:
    """Also when the message is not the first of its application."""
    app = await world.application()
    everyone = await crowd(world, app, 40)
    batch = [item(world, app) for _ in range(20)]
    await store(world, *batch)
    second = (await world.fetch(WAITING))[1]["message_id"]
    async with world.database.transaction() as connection:
        target = await hold_target(connection, app.id, everyone[-1])
        assert target is not None
        await requeue.resend(connection, target, second, now(world))
        writing = asyncio.create_task(write_all(world, app))

        async def waits() -> bool:
            return bool((await world.fetch(BLOCKED))[0][0]) or writing.done()

        await until(waits, "the slice waits for what is resent")
        assert not writing.done()
    await writing
    queued = await world.fetch("select endpoint_id, message_id from retry")
    assert [tuple(row) for row in queued] == [(everyone[-1], second)]
    new_deliveries = {(endpoint, one.id) for endpoint in everyone for one in batch}
    assert await entries(world) == sorted(new_deliveries - {(everyone[-1], second)})


async def test_operators_see_waiting_messages(world: World) -> None:
    apps = [await world.application() for _ in range(2)]
    for app in apps:
        await crowd(world, app, 2 * fan_out.ROOM)
    batch = [item(world, app) for app in apps * 2]
    await store(world, *batch)
    async with world.database.connection() as connection:
        assert await fan_out.waiting(connection) == fan_out.FanOutBacklog(4, 2, batch[0].id)
        await connection.execute("delete from fan_out")
        assert await fan_out.waiting(connection) == fan_out.FanOutBacklog(0, 0, None)


async def test_applications_take_turns(world: World) -> None:
    apps = [await world.application() for _ in range(4)]
    for app in apps:
        await crowd(world, app, 2 * fan_out.ROOM)
    await store(world, *(item(world, app) for app in apps * 2))
    known = sorted(app.id for app in apps)
    async with world.database.connection() as connection:
        assert await fan_out.applications(connection, UUID(int=0), 3) == known[:3]
        assert await fan_out.applications(connection, known[1], 3) == known[2:]
        assert await fan_out.applications(connection, known[3], 3) == []


@pytest.mark.parametrize("base", [BASE, 0], ids=["accepted", "in slices"])
async def test_handed_over_deliveries_have_the_place_stored_in_the_table(
    world: World, monkeypatch: pytest.MonkeyPatch, base: int
) -> None:
    """Places are for first-in-first-out endpoints alone."""
    monkeypatch.setattr(accept, "BASE", base)
    monkeypatch.setattr(accept, "EACH", EACH if base else 0)
    app = await world.application()
    for fifo in (False, True):
        await crowd(world, app, 2, fifo=fifo)
    _, new_deliveries = await store(world, *(item(world, app) for _ in range(3)))
    new_deliveries += [one for part in await write_all(world, app) for one in part.new_deliveries]
    rows = await world.fetch(ENTRIES)
    assert sorted((one.endpoint_id, one.message_id, one.seq or None) for one in new_deliveries) == [
        (row["endpoint_id"], row["message_id"], row["seq"]) for row in rows
    ]
    assert sum(row["seq"] is None for row in rows) == sum(one.seq > 0 for one in new_deliveries) == 6
