"""Svix's own client against our server: messages, attempts and sending again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from svix.api import (
    MessageAttemptListByEndpointOptions,
    MessageCreateOptions,
    MessageIn,
    MessageListOptions,
    RecoverIn,
    ReplayIn,
    SvixAsync,
    SvixOptions,
)

from angarium.core.nouns import State
from angarium.store.database import Database
from tests.api.conftest import Backend
from tests.api.serving import serving
from tests.api.world import ORG, World


async def test_svixs_client_sends_reads_and_resends(backend: Backend, database: Database) -> None:
    world = World(backend, database)
    async with serving(backend.app) as url:
        client = SvixAsync(backend.services.token.for_organization(ORG), SvixOptions(server_url=url))
        try:
            await walk(world, client)
        finally:
            await client.application._httpx_client.aclose()  # the client offers no way to close it


async def walk(world: World, client: SvixAsync) -> None:
    app = await world.application(uid="customer")
    endpoint = await world.endpoint(app)

    sent = await client.message.create(
        "customer",
        MessageIn(event_type="order.paid", event_id="e-1", payload={"n": 1}, channels=["c"], tags=["t"]),
        MessageCreateOptions(with_content=True),
    )
    assert (sent.event_id, sent.payload, sent.channels, sent.tags) == ("e-1", {"n": 1}, ["c"], ["t"])
    assert (await client.message.create("customer", MessageIn(event_type="a", payload={}))).payload == {}
    listed = await client.message.list("customer", MessageListOptions(event_types=["order.paid"], tag="t"))
    assert [message.id for message in listed.data] == [sent.id]
    assert listed.done
    assert (await client.message.get(app, "e-1")).id == sent.id

    attempt = await world.attempt(app, endpoint, sent.id, 500, body=b"oh no")
    await world.complete(app, endpoint, sent.id, State.EXHAUSTED, failures=8)
    (shown,) = (
        await client.message_attempt.list_by_endpoint(
            app, endpoint, MessageAttemptListByEndpointOptions(with_content=True, with_msg=True)
        )
    ).data
    assert (shown.id, shown.response, shown.response_status_code) == (attempt, "oh no", 500)
    assert shown.msg is not None
    assert shown.msg.id == sent.id
    assert (await client.message_attempt.get(app, sent.id, attempt)).status_text == "fail"
    assert len((await client.message_attempt.list_by_msg(app, sent.id)).data) == 1
    messages = await client.message_attempt.list_attempted_messages(app, endpoint)
    assert [message.status_text for message in messages.data] == ["pending", "fail"]
    (destination,) = (await client.message_attempt.list_attempted_destinations(app, sent.id)).data
    assert (destination.id, destination.status_text) == (endpoint, "fail")

    await client.message_attempt.resend(app, sent.id, endpoint)
    assert (await world.delivery(app, endpoint, sent.id))["manual_at"] is not None
    hour = datetime.now(UTC) - timedelta(hours=1)
    recovered = await client.endpoint.recover(app, endpoint, RecoverIn(since=hour))
    replayed = await client.endpoint.replay_missing(app, endpoint, ReplayIn(since=hour))
    assert (recovered.task, replayed.task) == ("endpoint.recover", "endpoint.replay")
    await world.run_tasks()
    tasks = await client.background_task.list()
    assert {task.id: task.status for task in tasks.data} == {
        recovered.id: "finished",
        replayed.id: "finished",
    }
    assert (await client.background_task.get(replayed.id)).data == {"messagesSent": 0}

    await client.message_attempt.expunge_content(app, sent.id, attempt)
    await client.message.expunge_content(app, sent.id)
    assert (await client.message_attempt.get(app, sent.id, attempt)).response == "EXPUNGED"
