"""The dispatcher with a real database and real receivers."""

from __future__ import annotations

from typing import Any

import pytest

from angarium.core import header_code
from angarium.core.profile_table import DisableTable
from angarium.dispatch import attempts
from angarium.dispatch.dispatcher import Dispatcher
from angarium.dispatch.lane_registry import DispatchLimits
from angarium.store import attempt
from tests.kit.patience import until
from tests.kit.rate import most_in
from tests.kit.receiver import Held, Receiver, Reply
from tests.kit.world import World, product

DELIVERED, PENDING, EXHAUSTED, CANCELED = 0, 1, 2, 4


async def test_a_message_is_delivered_once_to_each_matching_endpoint(world: World) -> None:
    app = await world.application()
    async with Receiver() as orders, Receiver() as transfers, world.dispatching() as dispatcher:
        await world.endpoint(app, orders.url, event_types=("order.*",))
        await world.endpoint(app, transfers.url, event_types=("transfer.*",))
        async with world.intake(dispatcher.hand_over) as intake:
            accepted = await intake.accept(world.draft(app, b'{"n": 1}'))
        await world.until_states({DELIVERED: 1})
        (request,) = orders.requests
        assert request.body == b'{"n": 1}'
        assert request.header("webhook-id") == request.header("svix-id")
        assert not transfers.requests
        assert accepted.message.payload == b'{"n": 1}'


async def test_a_failed_delivery_is_retried_on_schedule_and_then_exhausted(world: World) -> None:
    app = await world.application()
    async with Receiver() as receiver, world.dispatching() as dispatcher:
        receiver.default = Reply(500)
        await world.endpoint(app, receiver.url)
        async with world.intake(dispatcher.hand_over) as intake:
            await intake.accept(world.draft(app))
        await world.until_states({EXHAUSTED: 1})
        assert len(receiver.requests) == 3
        attempts = await world.fetch("select status, status_code from attempt order by id")
        assert [tuple(row) for row in attempts] == [(2, 500)] * 3


async def test_a_failed_delivery_arrives_when_the_receiver_works_again(world: World) -> None:
    app = await world.application()
    async with Receiver() as receiver, world.dispatching() as dispatcher:
        receiver.plan(Reply(500), Reply(503))
        await world.endpoint(app, receiver.url)
        async with world.intake(dispatcher.hand_over) as intake:
            await intake.accept(world.draft(app))
        await world.until_states({DELIVERED: 1})
        assert len({request.header("webhook-id") for request in receiver.requests}) == 1
        assert len({request.body for request in receiver.requests}) == 1


async def test_an_internal_error_after_a_response_repeats_the_attempt(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged, faults = attempts._consequences, iter([RuntimeError("a fault on our side")])

    def faulty(*arguments: Any) -> Any:
        for fault in faults:
            raise fault
        return judged(*arguments)

    monkeypatch.setattr(attempts, "_consequences", faulty)
    app = await world.application()
    for fifo in (False, True):
        faults = iter([RuntimeError("a fault on our side")])
        async with Receiver() as receiver, world.dispatching() as dispatcher:
            endpoint = await world.endpoint(app, receiver.url, fifo=fifo, event_types=(f"kind.{fifo}",))
            async with world.intake(dispatcher.hand_over) as intake:
                for _ in range(3):
                    await intake.accept(world.draft(app, event_type=f"kind.{fifo}"))
            await world.until_states({DELIVERED: 3 * (1 + fifo)})
            sent = [request.header("webhook-id") for request in receiver.requests]
            assert len(sent) == 4, endpoint  # one of them twice
            assert len(set(sent)) == 3

            async def idle(of: Dispatcher = dispatcher, shard: int = endpoint.shard) -> bool:
                return not of.busy(shard)

            await until(idle)


async def test_a_message_accepted_without_a_dispatcher_is_found_in_the_table(world: World) -> None:
    app = await world.application()
    async with Receiver() as receiver:
        await world.endpoint(app, receiver.url)
        async with world.intake() as intake:
            await intake.accept_many([world.draft(app) for _ in range(300)])
        async with world.dispatching():
            await world.until_states({DELIVERED: 300})
        assert len(receiver.requests) == 300


async def test_a_410_disables_the_endpoint_and_cancels_its_deliveries(world: World) -> None:
    app = await world.application()
    async with (
        Receiver() as receiver,
        world.dispatching(product("60s"), DispatchLimits(in_flight=1)) as dispatcher,
    ):
        receiver.plan(Reply(410))
        gone = await world.endpoint(app, receiver.url)
        async with world.intake(dispatcher.hand_over) as intake:
            await intake.accept_many([world.draft(app) for _ in range(10)])
            await world.until_states({EXHAUSTED: 1, CANCELED: 9})
            await intake.accept(world.draft(app))
        (row,) = await world.fetch("select disabled_reason from endpoint where id = $1", gone.id)
        assert row["disabled_reason"] == "gone"
        assert await world.states() == {EXHAUSTED: 1, CANCELED: 9}
        assert len(receiver.requests) == 1


async def test_first_in_first_out_waits_for_the_head(world: World) -> None:
    app = await world.application()
    async with Receiver() as receiver, world.dispatching() as dispatcher:
        receiver.plan(Reply(200), Reply(500), Reply(500), Reply(200))
        await world.endpoint(app, receiver.url, fifo=True)
        async with world.intake(dispatcher.hand_over) as intake:
            await intake.accept_many([world.draft(app, b"%d" % n) for n in range(50)])
        await world.until_states({DELIVERED: 50})
        bodies = [int(request.body) for request in receiver.requests]
        assert bodies == [0, 1, 1, 1, *range(2, 50)]


async def test_the_rate_limit_holds(world: World) -> None:
    app = await world.application(rate_limit=20)
    async with Receiver() as receiver, world.dispatching() as dispatcher:
        await world.endpoint(app, receiver.url)
        async with world.intake(dispatcher.hand_over) as intake:
            await intake.accept_many([world.draft(app) for _ in range(120)])
        await world.until_states({DELIVERED: 120})
        # the simulation of lanes proves it exact; here one bunch may catch up with the next
        assert most_in(3, (request.time for request in receiver.requests)) <= 4 * 20


async def test_requests_in_flight_of_a_process_are_limited(world: World) -> None:
    app = await world.application()
    answer = Held()
    async with (
        Receiver() as receiver,
        world.dispatching(policy=DispatchLimits(in_flight_total=5)) as dispatcher,
    ):
        receiver.default = answer
        for _ in range(4):  # 4 lanes of 4 requests each, were it not for the process's limit
            await world.endpoint(app, receiver.url)
        async with world.intake(dispatcher.hand_over) as intake:
            await intake.accept_many([world.draft(app) for _ in range(4)])
        await receiver.wait_for(5)

        async def every_lane_is_loaded() -> bool:
            registry = list(dispatcher._registry)
            return len(registry) == 4 and not any(active.stale or active.lane.loading for active in registry)

        await until(every_lane_is_loaded)
        assert len(dispatcher._attempts) == len(receiver.requests) == 5
        answer.release.set()
        await world.until_states({DELIVERED: 16})


async def test_credentials_in_a_url_are_sent_but_not_put_on_record(world: World) -> None:
    app = await world.application()
    async with Receiver() as receiver, world.dispatching() as dispatcher:
        await world.endpoint(app, receiver.url.replace("http://", "http://user:secret@"))
        async with world.intake(dispatcher.hand_over) as intake:
            await intake.accept(world.draft(app))
        await world.until_states({DELIVERED: 1})
        assert receiver.requests[0].header("authorization") == "Basic dXNlcjpzZWNyZXQ="
        (message,) = await world.fetch("select id from message")
        async with world.database.connection() as connection:
            (shown,) = await attempt.whole(connection, app.id, message["id"], 10)
        assert shown.url == receiver.url


async def test_a_receiver_can_refuse_one_message_without_being_disabled(world: World) -> None:
    app = await world.application()
    async with Receiver() as receiver, world.dispatching(product("60s")) as dispatcher:
        cookie = ("set-cookie", "session=secret")
        receiver.plan(Reply(400, headers=[("webhook-delivery", "abort-message"), cookie]))
        await world.endpoint(app, receiver.url, headers={"X-Key": "secret"})
        async with world.intake(dispatcher.hand_over) as intake:
            await intake.accept(world.draft(app))
            await world.until_states({EXHAUSTED: 1})
            await intake.accept(world.draft(app))
            await world.until_states({EXHAUSTED: 1, DELIVERED: 1})
    sent = receiver.requests[0]
    assert sent.header("x-key") == "secret"
    (row, _) = await world.fetch("select message_id, id, exchange from attempt order by id")
    assert b"secret" not in row["exchange"]
    shown, answered = header_code.decode(row["exchange"], message_id=row["message_id"], attempt_id=row["id"])
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature", "content-type", "user-agent"):
        assert (name, sent.header(name)) in shown
    assert ("set-cookie", "(hidden)") in answered
    assert ("X-Key", "(hidden)") in shown


async def test_a_product_can_treat_410_as_an_ordinary_failure(world: World) -> None:
    app = await world.application()
    patient = product("50ms", disable=DisableTable(on_gone=False))
    async with Receiver() as receiver, world.dispatching(patient) as dispatcher:
        receiver.plan(Reply(410))
        await world.endpoint(app, receiver.url)
        async with world.intake(dispatcher.hand_over) as intake:
            await intake.accept(world.draft(app))
        await world.until_states({DELIVERED: 1})
