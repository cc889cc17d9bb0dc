"""Faults on our side: nothing is recorded, no retry is used, no endpoint is disabled, all is delivered after.

In these tests a product disables an endpoint at its first failed attempt, and no retry comes while a test
lasts. So a single failure that counts shows.
"""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohappyeyeballs
import pytest

from angarium.core.failure import BURST
from angarium.core.outcome import AttemptResult
from angarium.core.profile_table import DisableTable
from angarium.dispatch.dispatcher import Dispatcher
from angarium.dispatch.request_builder import RequestBuilder
from angarium.dispatch.transport import dial
from angarium.dispatch.transport.connection import HttpConnection
from angarium.dispatch.transport.pool import Pool
from angarium.dispatch.transport.resolver import CONTROL, SystemResolver
from angarium.dispatch.transport.sender import OutgoingRequest, Sender
from tests.kit.patience import PATIENCE, until
from tests.kit.receiver import Held, Receiver
from tests.kit.world import LOOPBACK, World, product

HOSTS = [f"hooks.customer{number}.test" for number in range(BURST + 1)]
"""Of unrelated domains, and enough for a burst."""
ALL = len(HOSTS)


class Names:
    """DNS that can be taken away."""

    def __init__(self) -> None:
        self.dead = False
        self.broken: set[str] = set()  # hosts whose own name servers do not answer

    def lookup(self, host: str) -> list[str]:
        if self.dead or host in self.broken:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        if host == CONTROL:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return ["127.0.0.1"]


class Stage:
    """A dispatcher, a receiver, and an endpoint of it for each host."""

    def __init__(self, world: World, dispatcher: Dispatcher, sender: Sender, receiver: Receiver) -> None:
        self.world = world
        self.outages = dispatcher._outages
        self.sender = sender
        self.receiver = receiver

    async def held(self, code: str, lanes: int = ALL) -> None:
        """Wait until the fault holds so many lanes."""

        def they_are() -> bool:
            held = [len(fault.lanes) for fault in self.outages.faults if fault.kind.code == code]
            return sum(held) == lanes

        await until(they_are)

    async def nothing_recorded(self) -> None:
        assert await self.world.states() == {1: ALL}
        assert await self.world.fetch("select 1 from attempt") == []
        assert await self.world.fetch("select 1 from delivery where failures > 0 or attempts > 0") == []
        assert await self.world.fetch("select 1 from endpoint_health where failures > 0") == []

    async def all_delivered(self) -> None:
        """At the first attempt that is recorded, and to endpoints that are still enabled."""
        await self.world.until_states({0: ALL})
        rows = await self.world.fetch("select number, status_code from attempt")
        assert [tuple(row) for row in rows] == [(1, 200)] * ALL
        assert await self.world.fetch("select 1 from endpoint where disabled_at is not null") == []
        await until(lambda: not self.outages.faults)


@asynccontextmanager
async def stage(
    world: World,
    names: Names | None = None,
    *,
    hosts: list[str] = HOSTS,
    fifo: bool = False,
    timeout: str = "30s",
    connections: int = 100,
    before: Any = None,
) -> AsyncIterator[Stage]:
    """Each endpoint has one pending message. `before` is called when all is ready, before anything is
    sent."""
    app = await world.application()
    standard = product("60s", timeout, disable=DisableTable(consecutive_attempts=1))
    resolver = SystemResolver(lookup=(names or Names()).lookup)
    sender = Sender(
        policy=LOOPBACK, response_limit=1000, connections=connections, resolver=resolver, now=world.clock.now
    )
    async with Receiver() as receiver:
        port = receiver.url.split(":")[2].split("/")[0]
        for host in hosts:
            await world.endpoint(app, f"http://{host}:{port}/hook", fifo=fifo)
        async with (
            world.dispatching(standard, sender=sender) as dispatcher,
            world.intake(dispatcher.hand_over) as intake,
        ):
            made = Stage(world, dispatcher, sender, receiver)
            if before is not None:
                await before(made)
            await intake.accept(world.draft(app))
            yield made


@pytest.mark.parametrize("fifo", [False, True])
async def test_running_out_of_file_descriptors_is_our_fault(world: World, fifo: bool) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def used_up(made: Stage) -> None:
        async with AsyncExitStack() as connected:  # so that the database needs no more descriptors
            for _ in range(4):
                await connected.enter_async_context(world.database.connection())
        lowest = os.dup(0)
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))

    try:
        async with stage(world, fifo=fifo, before=used_up) as made:
            await made.held("out_of_resources")
            await made.nothing_recorded()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            await made.all_delivered()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("fifo", [False, True])
async def test_a_dead_resolver_is_our_fault(world: World, fifo: bool) -> None:
    names = Names()
    names.dead = True
    async with stage(world, names, fifo=fifo) as made:
        await made.held("resolver_down")
        await made.nothing_recorded()
        names.dead = False
        await made.all_delivered()


async def test_a_dead_resolver_is_our_fault_with_only_one_endpoint(world: World) -> None:
    names = Names()
    names.dead = True
    async with stage(world, names, hosts=HOSTS[:1]) as made:
        await made.held("resolver_down", 1)
        assert await world.fetch("select 1 from attempt") == []
        names.dead = False
        await world.until_states({0: 1})


async def test_a_customer_with_dead_name_servers_is_not_our_fault(world: World) -> None:
    names = Names()
    names.broken.add(HOSTS[0])
    async with stage(world, names) as made:
        await world.until_states({0: ALL - 1, 4: 1})
        rows = await world.fetch("select error_code from attempt where status = 2")
        assert [row[0] for row in rows] == ["dns_unanswered"]
        assert not made.outages.faults


def unreachable(number: int) -> Any:
    async def start_connection(*arguments: Any, **named: Any) -> socket.socket:
        raise OSError(number, os.strerror(number))

    return start_connection


@pytest.mark.parametrize("number", [errno.ENETUNREACH, errno.ENETDOWN, errno.EPERM, errno.EADDRNOTAVAIL])
async def test_a_lost_network_is_our_fault(
    world: World, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(aiohappyeyeballs, "start_connection", unreachable(number))
        async with stage(world) as made:
            await made.held("out_of_resources" if number == errno.EADDRNOTAVAIL else "network_down")
            await made.nothing_recorded()
            patch.undo()
            await made.all_delivered()


async def test_a_network_that_drops_packets_costs_fewer_attempts_than_a_burst(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(aiohappyeyeballs, "start_connection", unreachable(errno.ETIMEDOUT))
        async with stage(world) as made:
            await made.held("network_down", ALL - BURST + 1)
            patch.undo()
            await world.until_states({0: ALL - BURST + 1, 4: BURST - 1})
            await until(lambda: not made.outages.faults)


async def test_using_up_the_connection_pool_is_our_fault(world: World) -> None:
    hog: asyncio.Future[AttemptResult] = asyncio.get_running_loop().create_future()
    behaviour = Held()

    async def taken(made: Stage) -> None:
        made.receiver.plan(behaviour)
        made.sender.start(OutgoingRequest(made.receiver.url, [], b"{}", PATIENCE), hog.set_result)
        await made.receiver.wait_for(1)

    async with stage(world, connections=1, timeout="1s", before=taken) as made:
        await made.held("pool_full")
        await made.nothing_recorded()
        behaviour.release.set()
        await hog
        await made.all_delivered()


def breaks(*arguments: Any, **named: Any) -> Any:
    raise TypeError("a bug on our side")


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (HttpConnection, "data_received"),
        (HttpConnection, "begin"),
        (Pool, "carry"),
        (Pool, "_wake"),
        (Sender, "_answer"),
        (dial, "_info"),
        (RequestBuilder, "request"),
        (RequestBuilder, "transition"),
        (RequestBuilder, "completion"),
    ],
)
async def test_a_bug_in_the_transport_is_our_fault(
    world: World, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, breaks)
        async with stage(world) as made:
            await made.held("internal")
            await made.nothing_recorded()
            patch.undo()
            await made.all_delivered()


async def test_a_delivery_that_triggers_a_bug_does_not_block_its_lane(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = RequestBuilder.request
    poison: list[Any] = []

    def poisoned(self: RequestBuilder, target: Any, held: Any, now: float) -> Any:
        poison[:] = poison or [held.message_id]
        return breaks() if held.message_id == poison[0] else request(self, target, held, now)

    monkeypatch.setattr(RequestBuilder, "request", poisoned)
    app = await world.application()
    async with (
        Receiver() as receiver,
        world.dispatching() as dispatcher,
        world.intake(dispatcher.hand_over) as intake,
    ):
        await world.endpoint(app, receiver.url)
        await intake.accept_many([world.draft(app) for _ in range(5)])
        await world.until_states({0: 4, 1: 1})
        poison[:] = [None]
        await world.until_states({0: 5})


async def test_a_refused_connection_of_the_only_endpoint_is_a_failure(world: World) -> None:
    async with stage(world, hosts=HOSTS[:1]) as made:
        await made.receiver.wait_for(1)
        await world.until_states({0: 1})
    app = await world.application()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    await world.endpoint(app, f"http://127.0.0.1:{port}/")
    async with (
        world.dispatching(product("60s")) as dispatcher,
        world.intake(dispatcher.hand_over) as intake,
    ):
        await intake.accept(world.draft(app))

        async def recorded() -> bool:
            rows = await world.fetch("select error_code from attempt where status = 2")
            return [row[0] for row in rows] == ["connect_refused"]

        await until(recorded)
        assert not dispatcher._outages.faults
