"""An endpoint's failures: beside edits of it, before they are completed, and when it is forgotten."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest

from angarium.clock import SystemClock, datetime_at
from angarium.core import ids
from angarium.core.alert import OPERATIONS
from angarium.core.health import Health
from angarium.core.nouns import Application, DisabledReason, Endpoint
from angarium.core.profile_table import DisableTable
from angarium.dispatch.dispatcher import Dispatcher
from angarium.service.intake import Intake
from angarium.store import disable
from angarium.store.complete import HealthRecord, complete
from angarium.store.database import Database
from angarium.store.endpoint import reset_health
from angarium.store.hint import HealthReset, Hint, changed, send
from angarium.store.retention import Retention
from tests.kit.patience import until
from tests.kit.receiver import Held, Receiver, Reply
from tests.kit.stand import Stand, standing
from tests.kit.world import ORG, World, product

PATIENT = product("60s")  # no retry comes while a test lasts
EXAMPLE = {"1": {"type": "object", "example": {"n": 1}}}


async def failures(world: World) -> int:
    rows = await world.fetch("select failures from endpoint_health")
    return rows[0][0] if rows else 0


async def until_failures(world: World, count: int) -> None:
    async def noted() -> bool:
        return await failures(world) == count

    await until(noted)


async def attempt(world: World, app: Application, intake: Intake, receiver: Receiver) -> str:
    """A message and its first attempt; the path it came to."""
    made = receiver.count
    await intake.accept(world.draft(app))
    return (await receiver.wait_for(made + 1))[made].path


async def moved(world: World, endpoint: Endpoint, url: str) -> None:
    """The customer edits the endpoint."""
    async with world.database.transaction() as connection:
        await connection.execute(
            "update endpoint set url = $1, revision = revision + 1 where id = $2", url, endpoint.id
        )
        await send(connection, [changed(endpoint.id)])


@pytest.mark.parametrize("last", [200, 500])
async def test_an_edit_keeps_failures_that_are_not_completed_yet(world: World, last: int) -> None:
    app = await world.application()
    async with (
        Receiver() as receiver,
        world.dispatching(PATIENT) as dispatcher,
        world.intake(dispatcher.hand_over) as intake,
    ):
        receiver.default = Reply(500)
        endpoint = await world.endpoint(app, receiver.url)
        for _ in range(3):
            await attempt(world, app, intake, receiver)
        await until_failures(world, 3)
        async with world.database.transaction() as somebody:
            await somebody.execute("lock table attempt in share mode")  # nothing is completed meanwhile
            receiver.plan(Reply(last))
            await attempt(world, app, intake, receiver)
            await moved(world, endpoint, f"{receiver.url}/elsewhere")
            more = 1
            while not (await attempt(world, app, intake, receiver)).endswith("/elsewhere"):
                more += 1
            assert await failures(world) == 3
        await until_failures(world, more if last == 200 else 3 + 1 + more)


@asynccontextmanager
async def answering_late(
    database: Database, monkeypatch: pytest.MonkeyPatch, status: int
) -> AsyncIterator[tuple[Stand, Receiver, str]]:
    """An endpoint with three failures. A fourth attempt gets its answer once the health was reset."""
    answer, hinted = Held(Reply(status)), Dispatcher.hinted

    def hears(dispatcher: Dispatcher, hint: Hint) -> None:
        hinted(dispatcher, hint)
        if isinstance(hint, HealthReset):
            answer.release.set()

    monkeypatch.setattr(Dispatcher, "hinted", hears)
    async with Receiver() as receiver, standing(database, PATIENT, clock=SystemClock()) as stand:
        receiver.default = Reply(500)
        endpoint = await stand.endpoint(receiver.url)
        for _ in range(3):
            await stand.send("a.b")
        await until_failures(stand.world, 3)
        receiver.plan(answer)
        await stand.send("a.b")
        await receiver.wait_for(4)
        yield stand, receiver, endpoint


async def test_enabling_an_endpoint_resets_its_health(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with answering_late(database, monkeypatch, 500) as (stand, receiver, endpoint):
        for disabled in (True, False):
            await stand.native("PATCH", f"/endpoint/{endpoint}", {"disabled": disabled})
        await stand.until_attempts(4)
        assert await failures(stand.world) == 0, "what began before does not count"
        await stand.send("a.b")
        await until_failures(stand.world, 1)
        assert receiver.count == 5


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
@pytest.mark.parametrize("last", [410, 500])
async def test_a_new_url_resets_the_health(
    database: Database, monkeypatch: pytest.MonkeyPatch, method: str, last: int
) -> None:
    """Also for an attempt at the old URL that ends afterwards, and for outcomes not yet completed."""
    async with answering_late(database, monkeypatch, last) as (stand, receiver, endpoint):
        await stand.native(method, f"/endpoint/{endpoint}", {"url": f"{receiver.url}/moved"})
        await stand.until_attempts(4)
        assert await failures(stand.world) == 0, "what was sent to the old URL does not count"
        await stand.send("a.b")
        await until_failures(stand.world, 1)
        assert (await stand.native("GET", f"/endpoint/{endpoint}"))["disabled"] is False
        assert [request.path for request in receiver.requests] == ["/hook"] * 4 + ["/hook/moved"]


async def test_a_new_url_is_not_slowed_by_failures_of_the_old_one(database: Database) -> None:
    """A receiver that is down, or asks for a pause, says nothing about the one that takes its place."""
    async with Receiver() as down, Receiver() as well, standing(database, product("1h")) as stand:
        down.default = Reply(503, headers=[("retry-after", "3600")])
        endpoint = await stand.endpoint(down.url)
        first = (await stand.send("a.b"))["id"]
        await stand.until_attempts(1)
        await stand.send("a.b")
        await stand.native("PATCH", f"/endpoint/{endpoint}", {"url": well.url})
        await well.wait_for(1)
        await stand.until_attempts(2)
        await stand.to_next_attempt()
        assert well.requests[1].header("webhook-id") == first, "retries keep their time"
        assert (down.count, well.count) == (1, 2)


async def test_a_late_completion_for_the_old_url_does_not_change_the_health(world: World) -> None:
    app = await world.application()
    endpoint = await world.endpoint(app, "http://127.0.0.1:9/")
    async with world.database.transaction() as connection:
        await reset_health(connection, endpoint)
        await complete(connection, [], [HealthRecord(app.id, endpoint.id, Health(1.0, 9))])
        assert await connection.fetch("select from endpoint_health") == []
        gone = disable.Disable(app.org_id, app.id, endpoint.id, DisabledReason.GONE, generation=0)
        assert not await disable.disable(connection, gone, world.clock.now(), os.urandom(8))
        await complete(connection, [], [HealthRecord(app.id, endpoint.id, Health(2.0, 1), generation=1)])
        # as it looks to a statement that began before the new generation was committed
        await connection.execute("update endpoint set health_generation = 0")
        await complete(connection, [], [HealthRecord(app.id, endpoint.id, Health(1.0, 9))])
    assert await failures(world) == 1


@pytest.mark.parametrize("status", [410, 500])
@pytest.mark.parametrize("kind", ["test", "resend"])
async def test_tests_and_resends_never_count_and_never_disable(
    database: Database, kind: str, status: int
) -> None:
    hasty = product("", disable=DisableTable(consecutive_attempts=2))
    async with Receiver() as receiver, standing(database, hasty, clock=SystemClock()) as stand:
        endpoint = await stand.endpoint(receiver.url)
        await stand.native("POST", "//event-type", {"name": "a.b", "description": "x", "schemas": EXAMPLE})
        message = (await stand.send("a.b"))["id"]
        await stand.until_attempts(1)
        receiver.default = Reply(status)
        for number in range(3):
            if kind == "test":
                await stand.native("POST", f"/endpoint/{endpoint}/send-example", {"eventType": "a.b"})
            else:
                await stand.native("POST", f"/msg/{message}/endpoint/{endpoint}/resend")
            await stand.until_attempts(2 + number)
        assert await failures(stand.world) == 0
        assert (await stand.native("GET", f"/endpoint/{endpoint}"))["disabled"] is False
        await stand.send("a.b")
        await stand.until_attempts(5)
        if status == 500:
            await until_failures(stand.world, 1)
        else:

            async def disabled() -> bool:
                return bool((await stand.native("GET", f"/endpoint/{endpoint}"))["disabled"])

            await until(disabled)  # the message without a manual request does


async def test_a_test_is_one_attempt(database: Database) -> None:
    async with Receiver(Reply(500)) as receiver, standing(database, product("5s,5m")) as stand:
        endpoint = await stand.endpoint(receiver.url)
        await stand.native("POST", "//event-type", {"name": "a.b", "description": "x", "schemas": EXAMPLE})
        await stand.native("POST", f"/endpoint/{endpoint}/send-example", {"eventType": "a.b"})
        assert len(await stand.schedule()) == 1
        assert await stand.world.states() == {2: 1}
        await stand.send("a.b")
        assert len(await stand.schedule()) == 3


@pytest.mark.parametrize(("app_uid", "uid"), [(None, None), ("customer-7", "orders")])
async def test_the_alert_of_a_disabled_endpoint_has_the_fields_of_svix(
    world: World, app_uid: str | None, uid: str | None
) -> None:
    """Null is written where there is no uid: strict decoders notice."""
    app = await world.application(uid=app_uid)
    desk = await world.application(org_id=OPERATIONS, uid=ORG)
    async with (
        Receiver(Reply(410)) as receiver,
        world.dispatching(PATIENT) as dispatcher,
        world.intake(dispatcher.hand_over) as intake,
    ):
        endpoint = await world.endpoint(app, receiver.url, uid=uid)
        await intake.accept(world.draft(app))

        async def told() -> bool:
            return bool(await world.fetch("select from message where app_id = $1", desk.id))

        await until(told)
    ((payload,),) = await world.fetch(
        "select body from payload p join message m on m.id = p.message_id where m.app_id = $1", desk.id
    )
    told_of = json.loads(payload)
    since = told_of["data"].pop("failSince")
    assert datetime.fromisoformat(since) >= endpoint.created_at
    assert told_of == {
        "type": "endpoint.disabled",
        "data": {
            "appId": ids.text(ids.APPLICATION, app.id),
            "appUid": app_uid,
            "endpointId": ids.text(ids.ENDPOINT, endpoint.id),
            "endpointUid": uid,
            "trigger": "automatic",
            "reason": "gone",
        },
    }


async def test_the_payload_of_an_alert_is_kept_no_longer_than_messages_are(world: World) -> None:
    app = await world.application()
    await world.application(org_id=OPERATIONS, uid=ORG)
    kept = Retention(history=timedelta(days=7))
    async with (
        Receiver(Reply(410)) as receiver,
        world.dispatching(PATIENT, retention=kept) as dispatcher,
        world.intake(dispatcher.hand_over) as intake,
    ):
        await world.endpoint(app, receiver.url)
        await intake.accept(world.draft(app))

        async def told() -> list[Any]:
            return await world.fetch("select expires_at from message where event_type = 'endpoint.disabled'")

        await until(told)
        ((expires_at,),) = await told()
        assert expires_at <= datetime_at(world.clock.now()) + timedelta(days=7, hours=1)
