"""Deliveries go directly to the process that owns their lanes, and never twice because of that."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterable
from typing import Any
from uuid import UUID

import pytest

from angarium.core.keyring import Keyring
from angarium.dispatch import backlog_poller, loader
from angarium.dispatch.dispatcher import Dispatcher
from angarium.dispatch.notifier import Notifier
from angarium.dispatch.peer import frame
from angarium.dispatch.peer.frame import HandOver
from angarium.dispatch.peer.sharing import Sharing, parts
from angarium.store.accept import NewDelivery
from angarium.store.hint import EVERYTHING
from tests.kit.patience import until
from tests.kit.receiver import Receiver
from tests.kit.world import World

DELIVERED = 0


class Hints:
    """Hints about lanes that processes sent, and those that name none."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lanes = 0
        self.everywhere = 0
        tell, everywhere = Notifier.tell, Notifier.everywhere

        def telling(notifier: Notifier, new_deliveries: Iterable[NewDelivery]) -> None:
            told = list(new_deliveries)
            self.lanes += len(told)
            tell(notifier, told)

        def everything(notifier: Notifier) -> None:
            self.everywhere += 1
            everywhere(notifier)

        monkeypatch.setattr(Notifier, "tell", telling)
        monkeypatch.setattr(Notifier, "everywhere", everything)


@pytest.fixture
def hints(monkeypatch: pytest.MonkeyPatch) -> Hints:
    return Hints(monkeypatch)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often lanes were loaded from the database."""
    counted: Counter[str] = Counter()
    want = loader.Loader.want

    def counting(self: loader.Loader, *arguments: Any, **more: Any) -> None:
        counted["loads"] += 1
        want(self, *arguments, **more)

    monkeypatch.setattr(loader.Loader, "want", counting)
    return counted


def sharing(*dispatchers: Dispatcher) -> bool:
    """Whether each of the dispatchers owns its part, and has a link to all others."""
    return all(
        len(one.owned) == 64 // len(dispatchers)
        and len(one._sharing._routes._routes) == 64 - len(one.owned)
        and sum(link is not None and link.ready for link in one._sharing._links.values())
        == len(dispatchers) - 1
        for one in dispatchers
    )


async def endpoints(world: World, receiver: Receiver, count: int = 8, **fields: Any) -> Any:
    app = await world.application()
    for _ in range(count):
        await world.endpoint(app, receiver.url, **fields)
    return app


async def test_deliveries_go_directly_to_the_owner(world: World, hints: Hints, loads: Counter[str]) -> None:
    async with Receiver() as receiver, world.dispatching() as first, world.dispatching() as second:
        app = await endpoints(world, receiver)
        await until(lambda: sharing(first, second))
        loads.clear()
        async with world.intake(first.hand_over) as intake:
            await intake.accept_many([world.draft(app, b'{"n":%d}' % n) for n in range(25)])
            await world.until_states({DELIVERED: 200})
        assert Counter(Counter(request.body for request in receiver.requests).values()) == {8: 25}
        assert first._sharing.passed % 25 == 0
        assert first._sharing.passed > 0
        assert hints.lanes == 0
        assert loads["loads"] == 0


async def test_a_process_that_only_accepts_hands_over_directly(world: World, hints: Hints) -> None:
    notifier = Notifier(world.database)
    await notifier.start()
    accepting = Sharing(world.clock, os.urandom, world.keyring, notifier)
    following = asyncio.create_task(accepting.follow(world.database))
    async with Receiver() as receiver, world.dispatching():
        app = await endpoints(world, receiver, 1)
        async with world.intake(accepting.give) as intake:
            await intake.accept(world.draft(app))  # by a hint, since it knows no owner
            await world.until_states({DELIVERED: 1})
            assert hints.lanes == 1
            await until(lambda: any(link is not None and link.ready for link in accepting._links.values()))
            await intake.accept(world.draft(app))
            await world.until_states({DELIVERED: 2})
        assert (accepting.passed, hints.lanes) == (1, 1)
    following.cancel()
    accepting.close()
    await notifier.stop()


async def test_first_in_first_out_lanes_keep_the_order_of_two_accepting_processes(world: World) -> None:
    async with Receiver() as receiver, world.dispatching() as first, world.dispatching() as second:
        app = await endpoints(world, receiver, 4, fifo=True)
        await until(lambda: sharing(first, second))
        async with world.intake(first.hand_over) as one, world.intake(second.hand_over) as other:
            for number in range(20):
                await (one if number % 2 else other).accept(world.draft(app, b"%d" % number))
        await world.until_states({DELIVERED: 80})
        bodies = [request.body for request in receiver.requests]
        assert Counter(bodies) == {b"%d" % number: 4 for number in range(20)}
        # each endpoint got them in order, so the first of each body come in order, too
        firsts = sorted(range(20), key=lambda number: bodies.index(b"%d" % number))
        assert firsts == list(range(20))


async def test_a_delivery_that_was_sent_meanwhile_is_not_sent_again(world: World) -> None:
    """The owner read it from the database before it arrived."""
    async with Receiver() as receiver, world.dispatching() as first:
        app = await endpoints(world, receiver, 1)
        late: list[NewDelivery] = []
        async with world.intake(lambda new, since: late.extend(new)) as intake:
            await intake.accept(world.draft(app))
        first._backlog_poller.look()
        await world.until_states({DELIVERED: 1})
        tenure = first.ownership.tenure(late[0].shard)
        assert tenure is not None
        first.received(HandOver({late[0].shard: tenure}, world.clock.now(), late))
        async with world.intake(first.hand_over) as intake:
            await intake.accept(world.draft(app, b"{}"))
        await world.until_states({DELIVERED: 2})
        assert len(receiver.requests) == 2


@pytest.mark.parametrize("known", ["another tenure", "no tenure"])
async def test_what_comes_for_another_tenure_is_read_from_the_database(
    world: World, monkeypatch: pytest.MonkeyPatch, known: str
) -> None:
    """The shard changed hands meanwhile, and its former owner sent the delivery."""
    async with Receiver() as receiver, world.dispatching() as first:
        app = await endpoints(world, receiver, 1)
        sent: list[NewDelivery] = []

        def hand_over(new: Any, since: float) -> None:
            sent.extend(new)
            first.hand_over(new, since)

        async with world.intake(hand_over) as intake:
            await intake.accept(world.draft(app))
        await world.until_states({DELIVERED: 1})
        shard = sent[0].shard
        tenure = first.ownership.tenure(shard)
        assert tenure is not None
        first.lost([shard])  # with everything that its lanes knew
        first.gained([shard])
        tenures = {shard: tenure - 1} if known == "another tenure" else {}
        first.received(HandOver(tenures, world.clock.now(), sent))
        async with world.intake(first.hand_over) as intake:
            await intake.accept(world.draft(app, b"{}"))
        await world.until_states({DELIVERED: 2})
        assert len(receiver.requests) == 2


async def test_a_shard_that_is_taken_again_has_another_tenure(world: World) -> None:
    async with world.dispatching() as first:
        before = {shard: first.ownership.tenure(shard) for shard in range(64)}
        async with world.dispatching() as second:
            await until(lambda: sharing(first, second))
            given = set(range(64)) - first.owned
            assert all(first.ownership.tenure(shard) is None for shard in given)
        await until(lambda: len(first.owned) == 64)
        assert all(
            (first.ownership.tenure(shard) == before[shard]) == (shard not in given) for shard in before
        )


async def test_a_foreign_delivery_is_passed_on_by_a_hint(world: World, hints: Hints) -> None:
    async with Receiver() as receiver, world.dispatching() as first, world.dispatching() as second:
        app = await endpoints(world, receiver, 1)
        await until(lambda: sharing(first, second))
        late: list[NewDelivery] = []
        async with world.intake(lambda new, since: late.extend(new)) as intake:
            await intake.accept(world.draft(app))
        other = second if late[0].shard in first.owned else first
        other.received(HandOver({late[0].shard: 1}, world.clock.now(), late))
        await world.until_states({DELIVERED: 1})
        assert hints.lanes == 1
        assert other._sharing.passed == 0  # it does not go round in circles


async def test_what_a_lost_connection_may_have_lost_is_found_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch, hints: Hints
) -> None:
    monkeypatch.setattr(backlog_poller, "EVERY", 3600.0)
    async with Receiver() as receiver, world.dispatching() as first, world.dispatching() as second:
        app = await endpoints(world, receiver)
        await until(lambda: sharing(first, second))
        monkeypatch.setattr(second._listener, "receive", lambda _: None)  # lost on the way
        async with world.intake(first.hand_over) as intake:
            await intake.accept(world.draft(app))
            await until(lambda: first._sharing.passed > 0)
            for connection in list(second._listener.connections):
                connection.close()
            await world.until_states({DELIVERED: 8})
        assert hints.everywhere > 0


async def test_payloads_that_are_too_large_are_read_by_the_owner(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame, "MAX_PAYLOAD", 100)
    async with Receiver() as receiver, world.dispatching() as first, world.dispatching() as second:
        app = await endpoints(world, receiver)
        await until(lambda: sharing(first, second))
        body = b'{"a":"%s"}' % (b"a" * 200)
        async with world.intake(first.hand_over) as intake:
            await intake.accept(world.draft(app, body))
            await world.until_states({DELIVERED: 8})
        assert {request.body for request in receiver.requests} == {body}
        assert first._sharing.passed > 0


async def test_a_process_with_other_keys_gets_hints(world: World, hints: Hints) -> None:
    """Such as one of the two whose keys were not replaced yet."""
    async with Receiver() as receiver, world.dispatching():
        app = await endpoints(world, receiver, 1)
        notifier = Notifier(world.database)
        await notifier.start()
        accepting = Sharing(world.clock, os.urandom, Keyring([b"x" * 32]), notifier)
        following = asyncio.create_task(accepting.follow(world.database))
        async with world.intake(accepting.give) as intake:
            await intake.accept(world.draft(app))
            await until(lambda: list(accepting._links.values()) == [None])
            await intake.accept(world.draft(app))
        await world.until_states({DELIVERED: 2})
        assert (accepting.passed, hints.lanes) == (0, 2)
        following.cancel()
        await notifier.stop()


async def test_announcements_of_ended_processes_go(world: World) -> None:
    async with world.dispatching() as first:
        async with world.dispatching() as second:
            await until(lambda: sharing(first, second))
            assert len(await world.fetch("select from dispatcher")) == 2
            await world.fetch(
                "insert into dispatcher values (1, '\\x00', '{unix:gone}', '\\x00', '{0}', '{99}')"
            )
        await until(lambda: len(first.owned) == 64)

        async def alone() -> bool:
            rows = await world.fetch("select instance, cardinality(shards) from dispatcher")
            return [tuple(row) for row in rows] == [(first._sharing.instance, 64)]

        await until(alone)
        assert first._sharing._links == {}
        assert first._sharing._routes.peers == {}


async def test_a_database_that_refuses_announcements_costs_no_shards(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.fetch("alter table dispatcher add constraint none check (false) not valid")
    async with Receiver() as receiver, world.dispatching() as first:
        app = await endpoints(world, receiver, 1)
        async with world.intake(first.hand_over) as intake:
            await intake.accept(world.draft(app))
        await world.until_states({DELIVERED: 1})
        assert len(first.owned) == 64
        assert await world.fetch("select from dispatcher") == []
        await world.fetch("alter table dispatcher drop constraint none")

        async def announced() -> bool:
            return len(await world.fetch("select from dispatcher")) == 1

        await until(announced)


async def test_the_notice_of_a_lost_connection_is_one_hint(world: World) -> None:
    sent: list[str] = []

    async def tell(connection: Any, hints: list[str], *, alone: bool) -> None:
        sent.extend(hints)

    notifier = Notifier(world.database)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("angarium.dispatch.notifier.send", tell)
        for _ in range(3):
            notifier.everywhere()
        await notifier.start()
        await until(lambda: sent)
        await notifier.stop()
    assert sent == [EVERYTHING]


def new_delivery(size: int) -> NewDelivery:
    return NewDelivery(UUID(int=1), UUID(int=2), UUID(int=3), 0, False, 0, 0.0, "a.b", bytes(size), 0.0)


def test_a_frame_holds_a_bounded_number_of_deliveries() -> None:
    assert [len(part) for part in parts([new_delivery(1)] * (2 * frame.MAX_DELIVERIES + 1))] == [
        frame.MAX_DELIVERIES,
        frame.MAX_DELIVERIES,
        1,
    ]


def test_a_frame_with_large_payloads_is_within_the_limit() -> None:
    made = parts([new_delivery(frame.MAX_PAYLOAD)] * 40)
    assert sum(len(part) for part in made) == 40
    assert all(len(frame.encode(HandOver({0: 1}, 0.0, part))) + 16 < frame.MAX_FRAME for part in made)
