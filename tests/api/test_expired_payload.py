"""A payload is never sent or shown after its time, though it stays on the disk for up to a day."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from angarium.clock import datetime_at
from angarium.core.nouns import State
from angarium.store.database import Database
from tests.api.conftest import Api, Backend
from tests.api.test_listener import listening, send
from tests.api.world import World

HOURS = 2
RETENTION: dict[str, Any] = {"payloadRetentionHours": HOURS}
TOTAL = "select count(*) from payload"


@pytest.fixture
def world(backend: Backend, database: Database) -> World:
    backend.clock.stop()
    return World(backend, database)


def expire(world: World) -> str:
    """Let the payload's time pass; gives a time before that of the message."""
    since = datetime_at(world.backend.clock.now()) - timedelta(hours=1)
    world.backend.clock.ahead += (HOURS + 1) * 3600  # what expires within an hour does so at its end
    return since.isoformat()


async def kept(world: World) -> Any:
    async with world.database.connection() as connection:
        return await connection.fetchval(TOTAL)


async def test_an_expired_payload_is_not_resent(world: World) -> None:
    app = await world.application()
    endpoint, message = await world.endpoint(app), await world.message(app, **RETENTION)
    await world.complete(app, endpoint, message, State.EXHAUSTED, failures=3)
    expire(world)
    answer = await world.org.post(f"/app/{app}/msg/{message}/endpoint/{endpoint}/resend")
    assert (answer.status_code, answer.json()["code"]) == (400, "missing_payload")
    row = await world.delivery(app, endpoint, message)
    assert (row["state"], row["due_at"]) == (State.EXHAUSTED, None)
    assert await kept(world) == 1


@pytest.mark.parametrize("what", ["recover", "replay-missing"])
async def test_no_background_task_sends_an_expired_payload(world: World, what: str) -> None:
    app = await world.application()
    first = await world.endpoint(app)
    expired = await world.message(app, **RETENTION)
    good = await world.message(app)
    for message in (expired, good):
        await world.complete(app, first, message, State.EXHAUSTED, failures=3)
    endpoint = first if what == "recover" else await world.endpoint(app)
    since = expire(world)
    answer = await world.org.post(f"/app/{app}/endpoint/{endpoint}/{what}", json={"since": since})
    assert answer.status_code == 202, answer.text
    await world.run_tasks()
    task = (await world.org.get(f"/background-task/{answer.json()['id']}")).json()
    assert (task["status"], task["data"]["messagesSent"]) == ("finished", 1)
    rows = [await world.delivery(app, endpoint, message) for message in (expired, good)]
    assert [row is not None and row["due_at"] is not None for row in rows] == [False, True]
    assert await kept(world) == 2


async def test_an_expired_payload_is_not_shown(world: World) -> None:
    app = await world.application()
    message = await world.message(app, **RETENTION)
    assert (await world.org.get(f"/app/{app}/msg/{message}")).json()["payload"]
    expire(world)
    found = (await world.org.get(f"/app/{app}/msg/{message}")).json()
    assert (found["id"], found["payload"]) == (message, {"expired": True})
    (listed,) = (await world.org.get(f"/app/{app}/msg")).json()["data"]
    assert listed["payload"] == {"expired": True}
    assert await kept(world) == 1


async def test_a_repeated_idempotency_key_returns_the_message_without_an_expired_payload(
    world: World,
) -> None:
    app = await world.application()
    body = {"eventType": "order.paid", "payload": {"secret": "of the payload"}, **RETENTION}
    key = {"Idempotency-Key": "once"}
    first = await world.org.post(f"/app/{app}/msg", json=body, headers=key)
    expire(world)
    again = await world.org.post(f"/app/{app}/msg", json=body, headers=key)
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json()["id"] == first.json()["id"]
    assert "of the payload" in first.text
    assert "of the payload" not in again.text
    assert await kept(world) == 1


async def test_a_listener_does_not_get_an_expired_payload(api: Api, backend: Backend, world: World) -> None:
    app = await api.application()
    listener = await listening(api, app)
    await send(api, app, **RETENTION)
    good = await send(api, app)
    expire(world)
    deliveries = await listener.fetch()
    assert [fetched["messageId"] for fetched in deliveries] == [good]
    assert await kept(world) == 2
