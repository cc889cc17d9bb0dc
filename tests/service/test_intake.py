"""Intake: one commit for many, no duplicate, no loss, and a failing message does not affect others in its
batch."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest

from angarium.core import ids
from angarium.core.audit import ActorKind
from angarium.core.errors import BadRequest, Conflict, NotFound, Overloaded, StoreUnavailable
from angarium.service import audit
from angarium.service import intake as module
from angarium.service.intake import Accepted, Intake, Large
from angarium.store import audit as audit_store
from angarium.store.accept import Item, NewDelivery, Stored
from tests.kit import many
from tests.kit.clock import ManualClock
from tests.kit.world import World

KEY = b"k" * 32
JOINED = """
select p.body, d.endpoint_id from message m
join payload p on p.message_id = m.id and p.expires_at = m.expires_at
join delivery d on d.message_id = m.id
"""


@pytest.fixture
def world(world: World) -> World:
    """The time does not advance: the data of an organization must be looked up again after some time."""
    return World(world.database, clock=ManualClock())


def accepted(result: object) -> Accepted:
    assert isinstance(result, Accepted)
    return result


async def test_the_response_is_sent_after_the_commit_of_message_and_deliveries(world: World) -> None:
    app = await world.application()
    endpoint = await world.endpoint(app, "http://127.0.0.1:9/")
    handed: list[NewDelivery] = []
    async with world.intake(lambda deliveries, since: handed.extend(deliveries)) as intake:
        message = (await intake.accept(world.draft(app, b'{"a": 1}'))).message
        rows = await world.fetch(JOINED)
    assert [tuple(row) for row in rows] == [(b'{"a": 1}', endpoint.id)]
    (one,) = handed
    assert (one.message_id, one.endpoint_id, one.payload) == (message.id, endpoint.id, b'{"a": 1}')


async def test_concurrent_requests_share_commits(world: World) -> None:
    app = await world.application()
    batches: list[int] = []

    def hand_over(new_deliveries: Sequence[NewDelivery], since: float) -> None:
        batches.append(len(new_deliveries))

    await world.endpoint(app, "http://127.0.0.1:9/")
    async with world.intake(hand_over) as intake:
        await intake.accept(world.draft(app))  # the organization is known now
        batches.clear()
        await asyncio.gather(*(intake.accept(world.draft(app)) for _ in range(300)))
    assert sum(batches) == 300
    assert len(batches) < 10


async def test_ids_grow_in_the_order_of_arrival(world: World) -> None:
    app = await world.application()
    async with world.intake() as intake:
        results = [accepted(r) for r in await intake.accept_many([world.draft(app) for _ in range(500)])]
        results.append(await intake.accept(world.draft(app)))
    made = [result.message.id for result in results]
    assert made == sorted(made)


async def test_an_event_id_is_taken_once(world: World) -> None:
    app, other = await world.application(), await world.application()
    async with world.intake() as intake:
        results = await intake.accept_many([world.draft(app, event_id="e1"), world.draft(app, event_id="e1")])
        assert [type(result) for result in results] == [Accepted, Conflict]
        assert accepted(results[0]).message.event_id == "e1"
        with pytest.raises(Conflict):
            await intake.accept(world.draft(app, event_id="e1"))
        await intake.accept(world.draft(other, event_id="e1"))
    assert len(await world.fetch("select from message")) == 2


async def test_a_repeated_idempotency_key_gives_the_first_message_again(world: World) -> None:
    app = await world.application()
    async with world.intake() as intake, world.intake() as elsewhere:
        drafts = [world.draft(app, b'{"n": %d}' % n, idempotency_key=KEY) for n in range(2)]
        both = await asyncio.gather(intake.accept(drafts[0]), elsewhere.accept(drafts[1]))
        again = await intake.accept(world.draft(app, b'{"n": 3}', idempotency_key=KEY))
    assert len({result.message.id for result in (*both, again)}) == 1
    assert sorted(result.replayed for result in both) == [False, True]
    assert again.replayed
    assert len(await world.fetch("select from message")) == 1


async def test_a_retry_of_a_request_with_event_id_and_key_is_a_replay_and_no_conflict(world: World) -> None:
    app = await world.application()
    draft = world.draft(app, event_id="e1", idempotency_key=KEY)
    async with world.intake() as intake, world.intake() as elsewhere:
        results = await asyncio.gather(intake.accept(draft), elsewhere.accept(draft), intake.accept(draft))
    assert len({result.message.id for result in results}) == 1


async def test_an_unknown_application_does_not_affect_others_in_the_batch(world: World) -> None:
    app = await world.application()
    async with world.intake() as intake:
        stranger = world.draft(app, org_id="org_000000000000000000000000000")
        nowhere = msgspec.structs.replace(world.draft(app), app="nowhere")
        results = await intake.accept_many([world.draft(app), stranger, nowhere])
    assert [type(result) for result in results] == [Accepted, NotFound, NotFound]


async def test_a_refused_message_does_not_affect_others_in_the_batch(world: World) -> None:
    app = await world.application()
    async with world.intake() as intake:
        results = await intake.accept_many(
            [world.draft(app), world.draft(app, event_id="a\x00b"), world.draft(app)]
        )
    assert [type(result) for result in results] == [Accepted, BadRequest, Accepted]
    assert len(await world.fetch("select from message")) == 2


async def test_messages_above_the_capacity_are_refused_at_once(world: World) -> None:
    app = await world.application()
    async with world.intake(capacity=10) as intake:
        results = await asyncio.gather(
            *(intake.accept(world.draft(app)) for _ in range(50)), return_exceptions=True
        )
    stored = len(await world.fetch("select from message"))
    assert sum(isinstance(result, Overloaded) for result in results) == 50 - stored
    assert 0 < stored < 50


async def test_bytes_above_the_capacity_are_refused_until_the_next_commit(
    world: World,
) -> None:
    app = await world.application()
    size, room = 1000, 10
    async with world.intake(capacity_bytes=room * size) as intake:
        draft = world.draft(app, b'"%s"' % (b"x" * (size - 2)))
        await intake.accept(draft)  # the organization is known now
        for _ in range(3):
            results = await asyncio.gather(
                *(intake.accept(draft) for _ in range(room + 5)), return_exceptions=True
            )
            assert [type(result) for result in results] == [Accepted] * room + [Overloaded] * 5


async def test_without_a_database_nothing_is_accepted(world: World) -> None:
    app = await world.application()
    async with world.intake() as intake:
        await intake.accept(world.draft(app))
        await world.database.close()
        with pytest.raises(StoreUnavailable):
            await intake.accept(world.draft(app))


async def test_a_stopped_intake_writes_waiting_messages_and_accepts_no_more(world: World) -> None:
    app = await world.application()
    intake: Intake
    async with world.intake() as intake:
        await intake.accept(world.draft(app))
        waiting = [asyncio.create_task(intake.accept(world.draft(app))) for _ in range(20)]
        await asyncio.sleep(0)
    assert all(isinstance(result, Accepted) for result in await asyncio.gather(*waiting))
    with pytest.raises(Overloaded):
        await intake.accept(world.draft(app))


async def test_wildcards_channels_and_disabled_endpoints_are_matched_in_the_same_statement(
    world: World,
) -> None:
    app = await world.application()
    url = "http://127.0.0.1:9/"
    exact = await world.endpoint(app, url, event_types=("transfer.deposit.completed",))
    domain = await world.endpoint(app, url, event_types=("transfer.*", "order.filled"))
    everything = await world.endpoint(app, url, event_types=("*",))
    await world.endpoint(app, url, event_types=("transfers.*", "transfer"))
    vip = await world.endpoint(app, url, channels=("vip", "beta"))
    await world.endpoint(app, url, disabled_at=app.created_at, disabled_reason="manual")
    handed: list[NewDelivery] = []
    async with world.intake(lambda deliveries, since: handed.extend(deliveries)) as intake:
        await intake.accept(world.draft(app, event_type="transfer.deposit.completed"))
        assert {one.endpoint_id for one in handed} == {exact.id, domain.id, everything.id}
        handed.clear()
        await intake.accept(world.draft(app, event_type="order.filled", channels=("beta",)))
        assert {one.endpoint_id for one in handed} == {domain.id, everything.id, vip.id}


async def test_a_test_is_sent_to_one_endpoint_and_audited_with_its_actor(world: World) -> None:
    app = await world.application()
    url = "http://127.0.0.1:9/"
    endpoint, _ = [await world.endpoint(app, url) for _ in range(2)]
    audit.arrived("192.0.2.7")
    audit.acting(ActorKind.API_KEY, "key_1")
    handed: list[tuple[NewDelivery, int]] = []

    def hand_over(new_deliveries: Sequence[NewDelivery], since: float) -> None:
        handed.extend((one, len(new_deliveries)) for one in new_deliveries)

    test = world.draft(app, event_type="a.test", endpoint_id=endpoint.id, event_id="once")
    async with world.intake(hand_over) as intake:
        results = await intake.accept_many([world.draft(app, event_type="a.b"), test, test])
    assert [type(result) for result in results] == [Accepted, Accepted, Conflict]
    sent = accepted(results[1]).message
    assert sent.event_id == "once"
    assert [one.endpoint_id for one, _ in handed if one.test] == [endpoint.id]
    assert {count for _, count in handed} == {3}
    (audit_event,) = await world.fetch("select * from audit")
    assert (audit_event["org_id"], audit_event["app_id"], audit_event["actor"]) == (
        app.org_id,
        app.id,
        "api-key:key_1",
    )
    assert str(audit_event["address"]) == "192.0.2.7"
    assert (audit_event["action"], audit_event["target"]) == (
        "endpoint.test.sent", ids.text(ids.ENDPOINT, endpoint.id),
    )  # fmt: skip
    after = {"message": ids.text(ids.MESSAGE, sent.id), "eventType": "a.test"}
    assert (audit_event["before"], audit_event["after"]) == (None, after)
    assert ids.created_at(audit_event["id"]) == world.clock.now()


async def test_a_test_that_cannot_be_audited_is_not_stored(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = await world.application()
    endpoint = await world.endpoint(app, "http://127.0.0.1:9/")
    audit.acting(ActorKind.API_KEY, "key_1")

    async def refuse(*_: object) -> None:
        raise StoreUnavailable

    monkeypatch.setattr(audit_store, "record", refuse)
    async with world.intake() as intake:
        with pytest.raises(StoreUnavailable):
            await intake.accept(world.draft(app, endpoint_id=endpoint.id))
    assert not await world.fetch("select from message")
    assert not await world.states()


async def test_large_messages_are_announced_after_the_commit_and_come_last(world: World) -> None:
    large, small = await world.application(), await world.application()
    async with world.database.connection() as connection:
        await many.endpoints(connection, large, 2000)
        await many.endpoints(connection, small, 1)
    new_deliveries: list[NewDelivery] = []
    waiting: list[int] = []
    told = 0

    def tell() -> None:
        nonlocal told
        told += 1

    async with world.intake(lambda deliveries, since: new_deliveries.extend(deliveries), tell) as intake:
        await intake.accept(world.draft(small))
        assert (len(new_deliveries), told) == (1, 0)
        await intake.accept(world.draft(large))
        waiting.append(len(await world.fetch("select from fan_out")))
        assert (len(new_deliveries), told, waiting) == (1, 1, [1])
        drafts = [world.draft(large)] * 100 + [world.draft(small)] * 100
        messages = [accepted(one).message for one in await intake.accept_many(drafts)]
        assert [one.message_id for one in new_deliveries[1:]] == [one.id for one in messages[100:]]
        assert len(await world.fetch("select from fan_out")) == 101


APP = UUID(int=1)
FITS, LATE, LARGE = Stored(APP, True), Stored(APP, True, True), Stored(APP, True, True, True)
UNKNOWN, REPEATED = Stored(None, False), Stored(APP, False)


def items(*apps: str) -> list[Item]:
    at = datetime(2027, 1, 1, tzinfo=UTC)
    return [Item(APP, "org_1", app, "a.b", b"", None, (), (), at, None, None, 0.0) for app in apps]


def learn(large: Large, apps: Sequence[str], stored: Sequence[Stored]) -> None:
    large.learn(items(*apps), stored)


def test_an_application_is_large_until_a_message_fits() -> None:
    large = Large()
    assert not large
    assert not large.among(items("a", "b"))
    learn(large, ["a", "b"], [LARGE, LATE])
    assert large
    assert set(large.among(items("a", "b", "c"))) == {"a"}
    assert not large.among(items("b"))
    learn(large, ["a", "a"], [LATE, REPEATED])
    learn(large, ["a"], [UNKNOWN])
    assert set(large.among(items("a"))) == {"a"}
    learn(large, ["a"], [FITS])
    assert not large


def test_only_the_newest_large_applications_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_LARGE", 2)
    large = Large()
    for app in ("a", "b", "c"):
        learn(large, [app], [LARGE])
    assert set(large.among(items("a", "b", "c"))) == {"b", "c"}
