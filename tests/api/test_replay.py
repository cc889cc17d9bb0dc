"""Sending again: resend, recover, replay-missing, and the tasks that do it in the background."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.errors import StoreUnavailable
from angarium.core.nouns import State
from angarium.dispatch.background_task import MAX_FAILURES, run_due_tasks, step
from angarium.store import background_task, requeue
from angarium.store.cancel import cancel_pending
from angarium.store.database import Database
from tests.api.conftest import Backend
from tests.api.world import ORG, World, uuid_of
from tests.kit.patience import PATIENCE
from tests.kit.rows import end_pending


@pytest.fixture
def world(backend: Backend, database: Database) -> World:
    return World(backend, database)


def ago(**span: float) -> str:
    return (datetime.now(UTC) - timedelta(**span)).isoformat()


async def begin(world: World, app: str, endpoint: str, what: str, **body: Any) -> str:
    body.setdefault("since", ago(hours=1))
    answer = await world.org.post(f"/app/{app}/endpoint/{endpoint}/{what}", json=body)
    assert answer.status_code == 202, answer.text
    task: str = answer.json()["id"]
    assert answer.json()["status"] == "running"
    return task


async def task_of(world: World, task: str) -> Any:
    return (await world.org.get(f"/background-task/{task}")).json()


async def resend(world: World, app: str, endpoint: str, message: str, status: int = 202) -> Any:
    answer = await world.org.post(f"/app/{app}/msg/{message}/endpoint/{endpoint}/resend")
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_a_resend_requests_one_manual_attempt(world: World) -> None:
    app = await world.application()
    endpoint, message = await world.endpoint(app, uid="e-1"), await world.message(app, eventId="m-1")
    for state in (State.DELIVERED, State.EXHAUSTED, State.CANCELED):
        await world.complete(app, endpoint, message, state, failures=3)
        assert await resend(world, app, "e-1", "m-1") == {}
        row = await world.delivery(app, endpoint, message)
        assert (row["state"], row["failures"], row["resume_at"]) == (state, 3, None)
        assert row["due_at"] == row["manual_at"] is not None


async def test_a_resend_leaves_the_waiting_retry_its_time(world: World) -> None:
    app = await world.application()
    endpoint, message = await world.endpoint(app), await world.message(app)
    await world.complete(app, endpoint, message, State.PENDING, failures=1, due_in=300)
    retry_at = (await world.delivery(app, endpoint, message))["due_at"]
    for _ in range(3):  # asking again must not forget it
        await resend(world, app, endpoint, message)
        row = await world.delivery(app, endpoint, message)
        assert (row["state"], row["resume_at"]) == (State.PENDING, retry_at)
        assert row["due_at"] == row["manual_at"] < retry_at


async def test_a_message_can_be_resent_to_an_endpoint_without_a_delivery(world: World) -> None:
    app = await world.application()
    message = await world.message(app)
    endpoint = await world.endpoint(app, channels=["other"], fifo=True)
    await resend(world, app, endpoint, message)
    row = await world.delivery(app, endpoint, message)
    assert row["due_at"] == row["manual_at"] is not None
    assert row["seq"] is not None
    assert row["shard"] == uuid_of(endpoint).int % 64


async def test_a_resend_notifies_the_owner_of_the_lane(world: World) -> None:
    app = await world.application()
    endpoint, message = await world.endpoint(app), await world.message(app)
    heard: asyncio.Queue[str] = asyncio.Queue()
    listener = await world.database.dedicated()
    try:
        await listener.add_listener("angarium", lambda *event: heard.put_nowait(event[3]))
        await resend(world, app, endpoint, message)
        async with asyncio.timeout(PATIENCE):
            assert await heard.get() == f"w:{uuid_of(app).hex}.{uuid_of(endpoint).hex}"
    finally:
        await listener.close()


async def test_a_resend_that_is_impossible_is_refused(world: World) -> None:
    app = await world.application()
    endpoint, empty = await world.endpoint(app), await world.message(app)
    message = await world.message(app)
    await world.org.delete(f"/app/{app}/msg/{empty}/content")
    assert (await resend(world, app, endpoint, empty, 400))["code"] == "missing_payload"
    await world.org.delete(f"/app/{app}/endpoint/{endpoint}")
    await resend(world, app, endpoint, message, 404)


async def test_recover_requests_one_attempt_of_each_undelivered_delivery(world: World) -> None:
    app = await world.application()
    endpoint, other = await world.endpoint(app), await world.endpoint(app)
    early, lost, canceled, waiting, done, empty, late = [await spaced(world, app) for _ in range(7)]
    for message, state in (
        (early, State.EXHAUSTED),
        (lost, State.EXHAUSTED),
        (canceled, State.CANCELED),
        (done, State.DELIVERED),
        (empty, State.EXHAUSTED),
        (late, State.EXHAUSTED),
    ):
        await world.complete(app, endpoint, message, state)
        await world.complete(app, other, message, state)
    await world.org.delete(f"/app/{app}/msg/{empty}/content")
    since, until = await time_of(world, app, lost), await time_of(world, app, empty)
    task = await begin(world, app, endpoint, "recover", since=since, until=until)
    await world.run_tasks()
    finished = await task_of(world, task)
    assert (finished["status"], finished["task"]) == ("finished", "endpoint.recover")
    assert finished["data"] == {"messagesSent": 2}
    for message, owed in (
        (early, False),
        (lost, True),
        (canceled, True),
        (done, False),
        (empty, False),
        (late, False),
    ):
        row = await world.delivery(app, endpoint, message)
        assert (row["manual_at"] is not None, row["due_at"] is not None) == (owed, owed), message
    assert (await world.delivery(app, endpoint, waiting))["manual_at"] is None
    assert (await world.delivery(app, other, lost))["manual_at"] is None


async def test_recovering_twice_requests_nothing_twice(world: World) -> None:
    app = await world.application()
    endpoint, message = await world.endpoint(app), await world.message(app)
    await world.complete(app, endpoint, message, State.EXHAUSTED)
    tasks = [await begin(world, app, endpoint, "recover") for _ in range(2)]
    await world.run_tasks()
    sent = [(await task_of(world, task))["data"]["messagesSent"] for task in tasks]
    assert sorted(sent) == [0, 1]


async def test_a_large_recovery_goes_step_by_step_and_survives_a_restart(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requeue, "SLICE", 10)
    app = await world.application()
    endpoint = await world.endpoint(app)
    made = await many(world, app, 35)
    async with world.database.connection() as conn:
        await end_pending(conn, State.EXHAUSTED)
    task = await begin(world, app, endpoint, "recover")
    now = world.services.clock.now()
    assert await step(world.database, now)
    assert await step(world.database, now)
    assert (await task_of(world, task))["data"] == {"messagesSent": 20}
    assert await owed(world) == sorted(made)[:20]
    # another process continues where this one stopped
    again = await Database.connect(world.database.url)
    try:
        await run_due_tasks(again, world.services.clock)
    finally:
        await again.close()
    assert await owed(world) == sorted(made)
    finished = await task_of(world, task)
    assert (finished["status"], finished["data"]) == ("finished", {"messagesSent": 35})


@pytest.mark.parametrize("state", ["53100", "53300", "25006", "55P03"])
async def test_a_temporary_database_error_is_not_a_failure_of_a_task(world: World, state: str) -> None:
    app = await world.application()
    endpoint = await world.endpoint(app)
    made = await many(world, app, 5)
    async with world.database.connection() as conn:
        await end_pending(conn, State.EXHAUSTED)
        await conn.execute(
            "create function refuse() returns trigger language plpgsql as"
            f" $$ begin raise exception using errcode = '{state}'; end $$;"
            "create trigger refuse before insert on retry for each statement execute function refuse()"
        )
    task = await begin(world, app, endpoint, "recover")
    for _ in range(MAX_FAILURES + 1):
        with pytest.raises(StoreUnavailable):
            await step(world.database, world.services.clock.now())
    assert (await task_of(world, task))["status"] == "running"
    async with world.database.connection() as conn:
        await conn.execute("drop trigger refuse on retry")
    await run_due_tasks(world.database, world.services.clock)
    assert await owed(world) == sorted(made)


async def test_several_processes_share_tasks_without_doing_a_step_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requeue, "SLICE", 5)
    app = await world.application()
    endpoints = [await world.endpoint(app) for _ in range(3)]
    await many(world, app, 40)
    async with world.database.connection() as conn:
        await end_pending(conn, State.EXHAUSTED)
    tasks = [await begin(world, app, endpoint, "recover") for endpoint in endpoints]
    while any([(await task_of(world, task))["status"] == "running" for task in tasks]):
        await asyncio.gather(*(run_due_tasks(world.database, world.services.clock) for _ in range(4)))
    for task in tasks:
        assert (await task_of(world, task))["data"] == {"messagesSent": 40}


async def test_replay_missing_sends_matching_messages_without_a_delivery(world: World) -> None:
    app = await world.application()
    early = await world.endpoint(app)
    a = await world.message(app, "order.paid")
    b = await world.message(app, "user.created")
    c = await world.message(app, "order.sent.late", channels=["c1"])
    gone = await world.message(app, "order.paid")
    await world.org.delete(f"/app/{app}/msg/{gone}/content")
    late = await world.endpoint(app, eventTypes=["order.*"], fifo=True)
    narrow = await world.endpoint(app, channels=["c1"])
    d = await world.message(app, "order.paid")
    counts = {}
    for endpoint in (early, late, narrow):
        task = await begin(world, app, endpoint, "replay-missing")
        await world.run_tasks()
        finished = await task_of(world, task)
        assert (finished["status"], finished["task"]) == ("finished", "endpoint.replay")
        counts[endpoint] = finished["data"]["messagesSent"]
    assert counts == {early: 0, late: 2, narrow: 1}
    rows = [await world.delivery(app, late, message) for message in (a, c)]
    assert all(row["state"] == State.PENDING and row["due_at"] and row["manual_at"] is None for row in rows)
    assert rows[0]["seq"] < rows[1]["seq"]
    assert await world.delivery(app, late, b) is None
    assert (await world.delivery(app, narrow, c))["state"] == State.PENDING
    assert await world.delivery(app, narrow, d) is None


async def test_an_example_for_one_endpoint_is_not_replayed_to_another(world: World) -> None:
    app = await world.application()
    shown, other = await world.endpoint(app), await world.endpoint(app)
    path = f"/app/{app}/endpoint/{shown}/send-example"
    example = (await world.org.post(path, json={"eventType": "svix.ping"})).json()["id"]
    task = await begin(world, app, other, "replay-missing")
    await world.run_tasks()
    assert (await task_of(world, task))["data"] == {"messagesSent": 0}
    assert await world.delivery(app, shown, example) is not None
    assert await world.delivery(app, other, example) is None


@pytest.mark.parametrize("what", ["recover", "replay-missing"])
async def test_the_window_starts_at_most_fourteen_days_ago(world: World, what: str) -> None:
    app = await world.application()
    endpoint = await world.endpoint(app)
    path = f"/app/{app}/endpoint/{endpoint}/{what}"
    for body in (
        {"since": ago(days=14, minutes=6)},
        {"since": "0001-01-01T00:00:00Z"},
        {"since": "yesterday"},
        {"since": ago(days=1), "until": ago(days=2)},
        {},
    ):
        answer = await world.org.post(path, json=body)
        assert answer.status_code == 422, answer.text
        assert answer.json()["detail"][0]["loc"][0] == "body"
    assert (await world.org.post(path, json={"since": ago(days=14)})).status_code == 202
    late = {"since": ago(days=1), "until": "9999-12-31T23:59:59Z"}
    assert (await world.org.post(path, json=late)).status_code == 202


async def switch(world: World, app: str, endpoint: str, disabled: bool) -> None:
    await world.org.patch(f"/app/{app}/endpoint/{endpoint}", json={"disabled": disabled})


async def ask(world: World, app: str, endpoint: str, message: str, what: str) -> None:
    """Ask for the message to be sent again, by one of the requests that do so."""
    if what == "resend":
        await resend(world, app, endpoint, message)
        return
    task = await begin(world, app, endpoint, what)
    await world.run_tasks()
    done = await task_of(world, task)
    assert (done["status"], done["data"]["messagesSent"]) == ("finished", 1)


async def line_of(world: World, app: str) -> dict[str, Any]:
    (line,) = (await world.org.get(f"/app/{app}/log")).json()["data"]
    return dict(line)


WAYS = [
    ("resend", State.DELIVERED),
    ("recover", State.EXHAUSTED),
    ("recover", State.CANCELED),
    ("replay-missing", None),
]


@pytest.mark.parametrize(("what", "state"), WAYS)
async def test_manual_attempts_at_a_disabled_endpoint_wait_until_it_is_enabled(
    world: World, what: str, state: State | None
) -> None:
    app = await world.application()
    if state is None:
        message, endpoint = await world.message(app), await world.endpoint(app)
    else:
        endpoint, message = await world.endpoint(app), await world.message(app)
        await world.complete(app, endpoint, message, state)
    await switch(world, app, endpoint, True)
    await ask(world, app, endpoint, message, what)
    row = await world.delivery(app, endpoint, message)
    assert row["due_at"] is None
    line = await line_of(world, app)
    assert (line["waitsForEndpoint"], line["nextAttempt"]) == (True, None)
    await switch(world, app, endpoint, False)
    row = await world.delivery(app, endpoint, message)
    assert row["due_at"] is not None
    if state is None:
        assert (row["state"], row["manual_at"]) == (State.PENDING, None), "with the whole schedule"
    else:
        assert (row["state"], row["resume_at"]) == (state, None)
        assert row["manual_at"] is not None
    assert (await line_of(world, app))["waitsForEndpoint"] is False


@pytest.mark.parametrize(("what", "state"), WAYS)
async def test_waiting_deliveries_are_canceled_when_the_endpoint_is_deleted(
    world: World, what: str, state: State | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = await world.application()
    if state is None:
        message, endpoint = await world.message(app), await world.endpoint(app)
    else:
        endpoint, message = await world.endpoint(app), await world.message(app)
        await world.complete(app, endpoint, message, state)
    await switch(world, app, endpoint, True)
    await ask(world, app, endpoint, message, what)
    if what == "resend":
        await world.org.delete(f"/app/{app}")
        await world.run_tasks()
    else:
        await world.org.delete(f"/app/{app}/endpoint/{endpoint}")
    row = await world.delivery(app, endpoint, message)
    assert (row["due_at"], row["manual_at"]) == (None, None)
    assert row["state"] == (State.CANCELED if state is None else state)


async def test_disabling_cancels_retries_and_keeps_manual_attempts_waiting(world: World) -> None:
    """Also those that a recovery requeues when it continues after the endpoint was disabled."""
    app = await world.application()
    endpoint, scheduled, asked, lost = (
        await world.endpoint(app),
        *[await world.message(app) for _ in range(3)],
    )
    for message in (scheduled, asked):
        await world.complete(app, endpoint, message, State.PENDING, failures=1, due_in=300)
    await world.complete(app, endpoint, lost, State.EXHAUSTED)
    await resend(world, app, endpoint, asked)
    task = await begin(world, app, endpoint, "recover")
    await switch(world, app, endpoint, True)
    await world.run_tasks()
    done = await task_of(world, task)
    assert (done["status"], done["data"]["messagesSent"]) == ("finished", 2), (
        "the retry that was canceled, too"
    )
    rows = [await world.delivery(app, endpoint, message) for message in (scheduled, asked, lost)]
    assert [row["state"] for row in rows] == [State.CANCELED, State.CANCELED, State.EXHAUSTED]
    assert all(row["manual_at"] is not None and row["due_at"] is None for row in rows)
    await switch(world, app, endpoint, False)
    rows = [await world.delivery(app, endpoint, message) for message in (scheduled, asked, lost)]
    assert all(row["due_at"] is not None and row["resume_at"] is None for row in rows)


async def test_a_resend_to_a_disabled_endpoint_never_continues_a_retry(world: World) -> None:
    """Deliveries may still be queued for it: many retries are canceled by a task."""
    app = await world.application()
    endpoint, message = await world.endpoint(app), await world.message(app)
    await switch(world, app, endpoint, True)
    await world.complete(app, endpoint, message, State.PENDING, failures=1, due_in=300)
    await resend(world, app, endpoint, message)
    row = await world.delivery(app, endpoint, message)
    assert (row["state"], row["due_at"], row["resume_at"]) == (State.CANCELED, None, None)


async def test_a_cancellation_that_continues_after_enabling_cancels_nothing_new(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background_task, "AT_ONCE", 2)
    app = await world.application()
    endpoint, made = await world.endpoint(app), await many(world, app, 5)
    await switch(world, app, endpoint, True)
    await switch(world, app, endpoint, False)
    for message in made:
        await resend(world, app, endpoint, message)
    await world.run_tasks()
    rows = [await world.delivery(app, endpoint, message) for message in made]
    assert all(row["due_at"] is not None and row["manual_at"] is not None for row in rows)


async def test_many_that_wait_are_released_and_canceled_step_by_step(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requeue, "SLICE", 3)
    monkeypatch.setattr(background_task, "AT_ONCE", 3)
    app = await world.application()
    endpoint, made = await world.endpoint(app), [await world.message(app) for _ in range(10)]
    await switch(world, app, endpoint, True)
    for message in made:
        await world.complete(app, endpoint, message, State.EXHAUSTED)
        await resend(world, app, endpoint, message)

    async def counted() -> tuple[int, int]:
        """How many have a due time, and how many a manual attempt."""
        async with world.database.connection() as conn:
            row = await conn.fetchrow("select count(due_at), count(manual_at) from delivery")
        return tuple(row)

    await switch(world, app, endpoint, False)
    assert await counted() == (3, 10)
    await world.run_tasks()
    assert await counted() == (10, 10)
    await switch(world, app, endpoint, True)
    await world.run_tasks()
    assert await counted() == (0, 10)
    await world.org.delete(f"/app/{app}/endpoint/{endpoint}")
    await world.run_tasks()
    assert await counted() == (0, 0)


async def test_the_deliveries_of_an_endpoint_are_canceled_step_by_step(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requeue, "SLICE", 10)
    app = await world.application()
    endpoint, other = await world.endpoint(app), await world.endpoint(app)
    made = sorted(await many(world, app, 25))
    await world.complete(app, endpoint, made[0], State.DELIVERED)
    await resend(world, app, endpoint, made[0])
    newer = await spaced(world, app)
    now = world.services.clock.now()
    async with world.database.transaction() as conn:
        assert await cancel_pending(conn, uuid_of(app), uuid_of(endpoint), None, 3, datetime_at(now)) == 3
        arguments = background_task.cancel_arguments(uuid_of(endpoint), uuid_of(newer))
        task = await background_task.create(
            conn,
            ids.new(now, bytes(8)),
            ORG,
            uuid_of(app),
            background_task.CANCEL,
            arguments,
            datetime.now(UTC),
        )
    await world.run_tasks()
    rows = [await world.delivery(app, endpoint, message) for message in made]
    assert [row["state"] for row in rows] == [State.DELIVERED] + [State.CANCELED] * 24
    assert all(row["due_at"] is row["manual_at"] is row["resume_at"] is None for row in rows)
    assert (await world.delivery(app, endpoint, newer))["state"] == State.PENDING
    assert (await world.delivery(app, other, made[3]))["state"] == State.PENDING
    # ours alone: clients' models of tasks do not know it
    assert (await world.org.get("/background-task")).json()["data"] == []
    assert (await world.org.get(f"/background-task/{ids.text(ids.TASK, task.id)}")).status_code == 404


async def test_a_failing_task_is_stopped_and_does_not_block_others(world: World) -> None:
    app = await world.application()
    endpoint, message = await world.endpoint(app), await world.message(app)
    await world.complete(app, endpoint, message, State.EXHAUSTED)
    broken = await begin(world, app, endpoint, "recover")
    async with world.database.connection() as conn:
        await conn.execute("update background_task set arguments = $1", {"endpoint": "nonsense"})
    good = await begin(world, app, endpoint, "recover")
    await world.run_tasks()
    assert (await task_of(world, good))["data"] == {"messagesSent": 1}
    given_up = await task_of(world, broken)
    assert given_up["status"] == "failed"
    assert given_up["data"]["errorCode"] == "internal"


async def test_a_task_fails_when_its_endpoint_is_deleted(world: World) -> None:
    app = await world.application()
    endpoint = await world.endpoint(app)
    task = await begin(world, app, endpoint, "recover")
    await world.org.delete(f"/app/{app}/endpoint/{endpoint}")
    await world.run_tasks()
    assert (await task_of(world, task))["data"] == {
        "messagesSent": 0,
        "error": "The endpoint was deleted.",
        "errorCode": "endpoint_deleted",
    }


async def test_tasks_are_listed_both_ways(world: World) -> None:
    app = await world.application()
    endpoint = await world.endpoint(app)
    made = [await begin(world, app, endpoint, what) for what in ("recover", "replay-missing", "recover")]
    await world.run_tasks()
    running = await begin(world, app, endpoint, "recover")

    async def listed(**query: Any) -> list[str]:
        answer = await world.org.get("/background-task", params=query)
        assert answer.status_code == 200, answer.text
        return [item["id"] for item in answer.json()["data"]]

    assert await listed() == [running, *made[::-1]]
    assert await listed(order="ascending") == [*made, running]
    assert await listed(status="running") == [running]
    assert await listed(status="finished", task="endpoint.replay") == [made[1]]
    assert await listed(task="endpoint.cancel") == []
    first = (await world.org.get("/background-task?limit=2")).json()
    assert not first["done"]
    assert await listed(limit=2, iterator=first["iterator"]) == [made[1], made[0]]
    assert await listed(limit=2, iterator=f"-{made[1]}") == [running, made[2]]
    for query in ("status=odd", "order=odd", "limit=0", "iterator=x"):
        assert (await world.org.get(f"/background-task?{query}")).status_code == 422
    for ref in ("x", "%00", "qtask_1srOrx2ZWZBpBUvZwXKQmoEYga2"):
        assert (await world.org.get(f"/background-task/{ref}")).status_code == 404


async def test_an_application_may_resend_but_not_read_tasks(world: World) -> None:
    app = await world.application()
    endpoint, message = await world.endpoint(app), await world.message(app)
    holder = world.holder(app)
    assert (await holder.post(f"/app/{app}/msg/{message}/endpoint/{endpoint}/resend")).status_code == 202
    for what in ("recover", "replay-missing"):
        answer = await holder.post(f"/app/{app}/endpoint/{endpoint}/{what}", json={"since": ago(hours=1)})
        assert answer.status_code == 202
    assert (await holder.get("/background-task")).status_code == 403
    assert (await holder.get(f"/background-task/{answer.json()['id']}")).status_code == 403
    reader = world.holder(app, capabilities=["ViewBase"])
    assert (await reader.post(f"/app/{app}/msg/{message}/endpoint/{endpoint}/resend")).status_code == 403
    answer = await reader.post(f"/app/{app}/endpoint/{endpoint}/replay-missing", json={"since": ago(hours=1)})
    assert answer.status_code == 403


async def test_other_callers_cannot_resend(world: World) -> None:
    app, other = await world.application(), await world.application()
    endpoint, message = await world.endpoint(app, uid="e"), await world.message(app, eventId="m")
    foreign = await world.endpoint(other), await world.message(other)
    task = await begin(world, app, endpoint, "recover")
    body = {"since": ago(hours=1)}
    for who in (world.outsider(), world.holder(other)):
        for e, m in ((endpoint, message), ("e", "m")):
            assert (await who.post(f"/app/{app}/msg/{m}/endpoint/{e}/resend")).status_code == 404
            for what in ("recover", "replay-missing"):
                assert (await who.post(f"/app/{app}/endpoint/{e}/{what}", json=body)).status_code == 404
    for e, m in ((endpoint, foreign[1]), (foreign[0], message), ("e", foreign[1]), (foreign[0], "m")):
        assert (await world.org.post(f"/app/{other}/msg/{m}/endpoint/{e}/resend")).status_code == 404
    assert (await world.outsider().get("/background-task")).json()["data"] == []
    assert (await world.outsider().get(f"/background-task/{task}")).status_code == 404
    assert (await world.delivery(app, endpoint, message))["manual_at"] is None


async def spaced(world: World, app: str) -> str:
    """A message in a millisecond of its own, so that times tell it from the one before."""
    await asyncio.sleep(0.003)
    return await world.message(app)


async def time_of(world: World, app: str, message: str) -> str:
    shown: str = (await world.org.get(f"/app/{app}/msg/{message}")).json()["timestamp"]
    return shown


async def many(world: World, app: str, count: int) -> list[str]:
    body = {"messages": [{"eventType": "a", "payload": {}}] * count}
    answer = await world.org.post(f"/app/{app}/msg/batch", json=body)
    return [result["id"] for result in answer.json()["results"]]


async def owed(world: World) -> list[str]:
    async with world.database.connection() as conn:
        rows: list[asyncpg.Record] = await conn.fetch(
            "select message_id from delivery where manual_at is not null order by message_id"
        )
    return [ids.text(ids.MESSAGE, row["message_id"]) for row in rows]
