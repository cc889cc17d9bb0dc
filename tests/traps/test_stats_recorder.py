"""Traps that other senders of webhooks fell into, in what they remember of a message and of an endpoint."""

from __future__ import annotations

import os
from datetime import timedelta

import msgspec

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.alert import OPERATIONS
from angarium.core.nouns import State
from angarium.core.profile_table import DisableTable
from angarium.service.replay import Replay
from tests.kit.patience import until
from tests.kit.receiver import Receiver, Reply
from tests.kit.task import finish_tasks
from tests.kit.world import ORG, World, product

DELIVERED, PENDING, EXHAUSTED = State.DELIVERED, State.PENDING, State.EXHAUSTED


async def test_a_message_without_a_matching_endpoint_is_kept_and_can_be_replayed_to_a_later_one(
    world: World,
) -> None:
    """Outpost 284 and 611: an event for which there is no destination leaves no trace. Convoy 660: events
    without deliveries cannot be replayed."""
    app = await world.application()
    async with Receiver() as receiver, world.dispatching() as dispatcher:
        async with world.intake(dispatcher.hand_over) as intake:
            kept = (await intake.accept(world.draft(app, b'{"kept":1}'))).message
        made = await world.endpoint(app, receiver.url)
        replay = Replay(world.database, world.clock, os.urandom)
        since = datetime_at(world.clock.now()) - timedelta(hours=1)
        await replay.replay_missing(ORG, app.id, ids.text(ids.ENDPOINT, made.id), since, None)
        await finish_tasks(world.database, world.clock)
        (request,) = await receiver.wait_for(1)
        await world.until_states({DELIVERED: 1})
    assert request.header("webhook-id") == ids.text(ids.MESSAGE, kept.id)
    assert request.body == b'{"kept":1}'


async def test_a_message_can_be_resent_any_number_of_times(world: World) -> None:
    """Outpost 670: for a day after a delivery, sending it again did nothing, and said nothing."""
    app = await world.application()
    async with Receiver() as receiver, world.dispatching() as dispatcher:
        made = await world.endpoint(app, receiver.url)
        async with world.intake(dispatcher.hand_over) as intake:
            message = (await intake.accept(world.draft(app))).message
        await world.until_states({DELIVERED: 1})
        replay = Replay(world.database, world.clock, os.urandom)
        refs = ids.text(ids.MESSAGE, message.id), ids.text(ids.ENDPOINT, made.id)
        for again in (2, 3):
            await replay.resend(app.id, *refs)
            await receiver.wait_for(again)
    assert len({request.header("webhook-id") for request in receiver.requests}) == 1


async def test_a_resend_uses_no_retry(world: World) -> None:
    """Svix: a resend that fails has no next attempt, so the retries that were left are skipped."""
    app = await world.application()
    async with Receiver() as receiver, world.dispatching(product("1s,1s")) as dispatcher:
        receiver.plan(Reply(500), Reply(500), Reply(500), Reply(200))
        made = await world.endpoint(app, receiver.url)
        async with world.intake(dispatcher.hand_over) as intake:
            message = (await intake.accept(world.draft(app))).message
            await receiver.wait_for(1)
            replay = Replay(world.database, world.clock, os.urandom)
            await replay.resend(app.id, ids.text(ids.MESSAGE, message.id), ids.text(ids.ENDPOINT, made.id))
        await receiver.wait_for(4)
        await world.until_states({DELIVERED: 1})


async def test_how_long_an_endpoint_has_been_failing_survives_a_restart(world: World) -> None:
    """Svix: kept in a cache, in memory by default, so that a dead endpoint is never disabled where
    processes restart more often than every five days."""
    app = await world.application()
    since = "select failing_since, failures from endpoint_health"
    async with Receiver(Reply(500)) as receiver:
        made = await world.endpoint(app, receiver.url)
        seen = []
        for run in (1, 2):
            hourly = product("1h")
            async with world.dispatching(hourly) as dispatcher, world.intake(dispatcher.hand_over) as intake:
                await intake.accept(world.draft(app))
                await receiver.wait_for(run)
            seen.append((await world.fetch(since))[0])
        assert [row["failures"] for row in seen] == [1, 2]
        assert seen[0]["failing_since"] == seen[1]["failing_since"]
        always = product("", disable=DisableTable(consecutive_attempts=3))
        async with world.dispatching(always) as dispatcher, world.intake(dispatcher.hand_over) as intake:
            await intake.accept(world.draft(app))

            async def disabled() -> bool:
                query = "select disabled_reason from endpoint where id = $1"
                return bool((await world.fetch(query, made.id))[0]["disabled_reason"] == "failing")

            await until(disabled)


async def test_an_alert_contains_no_secret(world: World) -> None:
    """Outpost 411: the alert about a failing destination had its credentials in it, decrypted."""
    app = await world.application()
    async with Receiver(Reply(410)) as receiver, world.dispatching() as dispatcher:
        desk = await world.application(org_id=OPERATIONS, uid=ORG)
        await world.endpoint(desk, "http://127.0.0.1:9/desk", disabled_at=datetime_at(world.clock.now()))
        made = await world.endpoint(
            app,
            receiver.url.replace("http://", "http://user:password@"),
            headers={"authorization": "Bearer header-secret"},
        )
        async with world.intake(dispatcher.hand_over) as intake:
            await intake.accept(world.draft(app, b'{"payload":"content"}'))

        async def told() -> bool:
            return bool(await world.fetch("select from message where app_id = $1", desk.id))

        await until(told)
        rows = await world.fetch(
            "select p.body from message m join payload p on p.message_id = m.id where m.app_id = $1", desk.id
        )
    for row in rows:
        text = row["body"].decode()
        assert msgspec.json.decode(text)["data"]["endpointId"] == ids.text(ids.ENDPOINT, made.id)
        for secret in ("password", "header-secret", "content", made.keys[0].secret, receiver.url):
            assert str(secret) not in text


async def test_an_idempotency_key_applies_to_one_message_only(world: World) -> None:
    """Outpost 670, Convoy 1262: the key that keeps a message from being taken twice also kept it from being
    delivered again."""
    app = await world.application()
    async with Receiver() as receiver, world.dispatching(product("50ms")) as dispatcher:
        receiver.plan(Reply(500))
        await world.endpoint(app, receiver.url)
        async with world.intake(dispatcher.hand_over) as intake:
            draft = world.draft(app, idempotency_key=b"k" * 32)
            first, second = await intake.accept(draft), await intake.accept(draft)
            assert first.message.id == second.message.id
        await world.until_states({DELIVERED: 1})
    assert receiver.count == 2
