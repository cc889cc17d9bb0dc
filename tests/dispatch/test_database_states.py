"""A database that rejects writes: nothing is repeated, results wait, and work continues by itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from urllib.parse import urlsplit

import asyncpg
import pytest
from structlog.testing import capture_logs

from angarium.core.errors import StoreReason, StoreUnavailable
from angarium.dispatch import backlog_poller, completer
from angarium.dispatch.lane_registry import DispatchLimits
from angarium.service.health import DatabaseHealth
from angarium.store import database as pooling
from angarium.store.database import Database
from angarium.store.load import LaneRef
from tests.kit.patience import PATIENCE, until
from tests.kit.receiver import Receiver, Reply
from tests.kit.schemas import SCHEMAS
from tests.kit.world import World

DELIVERED = 0
IN_FLIGHT = 8
MESSAGES = 60
State = Callable[[asyncpg.Connection], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def read_only(owner: asyncpg.Connection) -> AsyncIterator[None]:
    """As an operator freezes a database, or a provider that is out of storage."""
    await owner.execute("set default_transaction_read_only = off")  # for itself
    await owner.execute("alter system set default_transaction_read_only = on")
    await owner.execute("select pg_reload_conf()")
    try:
        yield
    finally:
        await owner.execute("alter system reset default_transaction_read_only")
        await owner.execute("select pg_reload_conf()")


@asynccontextmanager
async def full_disk(owner: asyncpg.Connection) -> AsyncIterator[None]:
    await owner.execute(
        "create function full_disk() returns trigger language plpgsql as $$ begin"
        " raise exception 'could not extend file: No space left on device' using errcode = 'disk_full';"
        " end $$"
    )
    for table in ("message", "attempt"):
        await owner.execute(f"create trigger full_disk before insert on {table} execute function full_disk()")
    try:
        yield
    finally:
        await owner.execute("drop function full_disk cascade")


@asynccontextmanager
async def locked(owner: asyncpg.Connection) -> AsyncIterator[None]:
    """A lock that another session holds for long, such as a manual schema change."""
    async with owner.transaction():
        await owner.execute("lock table message, attempt in access exclusive mode")
        yield


@asynccontextmanager
async def crowded(owner: asyncpg.Connection) -> AsyncIterator[None]:
    """Our sessions are ended, and there is no room for others."""
    await owner.execute("alter role angarium_app connection limit 0")
    await owner.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'angarium_app'"
    )
    try:
        yield
    finally:
        await owner.execute("alter role angarium_app connection limit -1")


STATES = {
    StoreReason.READ_ONLY: read_only,
    StoreReason.DISK_FULL: full_disk,
    StoreReason.LOCKED: locked,
    StoreReason.TOO_MANY_CONNECTIONS: crowded,
}


@pytest.fixture
async def owner(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def app_world(
    database_url: str, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    """A world that is no superuser, whose locks are given up and whose table is looked at soon."""
    monkeypatch.setitem(pooling.PATIENCE, "lock_timeout", "300ms")
    monkeypatch.setattr(backlog_poller, "EVERY", 0.2)
    await owner.execute("drop role if exists angarium_app")
    await owner.execute("create role angarium_app login")
    schemas = ", ".join(SCHEMAS)
    await owner.execute(f"grant all on schema {schemas} to angarium_app")
    await owner.execute(f"grant all on all tables in schema {schemas} to angarium_app")
    await owner.execute(f"grant all on all sequences in schema {schemas} to angarium_app")
    parts = urlsplit(database_url)
    database = await Database.connect(f"postgresql://angarium_app@{parts.path}?{parts.query}")
    try:
        yield World(database)
    finally:
        await database.close()
        await owner.execute("drop owned by angarium_app")
        await owner.execute("drop role angarium_app")


@pytest.mark.parametrize("reason", STATES)
async def test_nothing_is_repeated_during_an_outage_and_delivery_continues_afterwards(
    app_world: World, owner: asyncpg.Connection, reason: StoreReason
) -> None:
    world = app_world
    app = await world.application()
    async with (
        Receiver() as receiver,
        world.dispatching(policy=DispatchLimits(in_flight=IN_FLIGHT, longest=10.0)) as dispatcher,
        world.intake(dispatcher.hand_over) as intake,
    ):
        waiting = [lambda: intake.waiting, lambda: dispatcher.waiting]
        health = DatabaseHealth(world.database, world.clock, waiting)
        receiver.default = Reply(200, delay=0.1)
        await world.endpoint(app, receiver.url)
        assert await health.trouble() is None
        await intake.accept_many([world.draft(app, b"%d" % n) for n in range(MESSAGES)])
        await receiver.wait_for(1)
        with capture_logs() as logs:
            async with STATES[reason](owner):

                def waited(times: int) -> bool:
                    return len([log for log in logs if log["event"] == "complete.waiting"]) >= times

                await until(lambda: waited(1), "an outcome could not be written")
                begun = receiver.count
                await until(lambda: waited(5), "it is tried again and again")
                assert receiver.count <= begun + IN_FLIGHT, "what was in flight, and no more"
                assert dispatcher.waiting is not None
                assert await health.trouble() is reason
                with pytest.raises(StoreUnavailable):
                    await intake.accept(world.draft(app))
        await until_writable(world, intake.accept, app)
        await world.until_states({DELIVERED: MESSAGES + 1})
        bodies = Counter(request.body for request in receiver.requests)
        assert set(bodies.values()) == {1}, "what was answered is not sent again"
        assert dispatcher.waiting is None
        assert await health.trouble() is None


async def until_writable(world: World, accept: Callable[..., object], app: object) -> None:
    async def accepted() -> bool:
        with contextlib.suppress(StoreUnavailable):
            await accept(world.draft(app, b"again"))  # type: ignore[misc, arg-type]
            return True
        return False

    await until(accepted, "it accepts again")


async def test_a_dispatcher_starts_beside_a_database_that_only_reads(
    world: World, owner: asyncpg.Connection
) -> None:
    """It takes no shards, so it sends nothing whose outcome it could not write; later it does."""
    app = await world.application()
    async with Receiver() as receiver:
        await world.endpoint(app, receiver.url)
        async with world.intake() as intake:
            await intake.accept(world.draft(app))
        with capture_logs() as logs:
            async with read_only(owner), asyncio.timeout(PATIENCE):
                dispatching = world.dispatching()
                dispatcher = await dispatching.__aenter__()

                def refused() -> bool:
                    return len([log for log in logs if log["event"] == "shards.unavailable"]) >= 2

                await until(refused, "it asks for shards again and again")
                assert not dispatcher.owned
                assert not receiver.requests
                assert {log["reason"] for log in logs if log["event"] == "shards.unavailable"} == {
                    "read-only"
                }
        await world.until_states({DELIVERED: 1})
        await dispatching.__aexit__(None, None, None)
        assert len(receiver.requests) == 1


@pytest.mark.parametrize("whole", [True, False])
async def test_a_delivery_with_a_parked_outcome_is_not_sent_again(
    world: World, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    """Others of its batch are recorded. It is too, when what the receiver said was the reason."""
    monkeypatch.setattr(backlog_poller, "EVERY", 0.1)
    app = await world.application()
    async with Receiver() as receiver, world.dispatching() as dispatcher:
        await world.endpoint(app, receiver.url)
        condition = "true" if whole else "new.response is not null"
        await owner.execute(
            "create function refused() returns trigger language plpgsql as $$ begin"
            f" if {condition} and exists"
            " (select from payload p where p.message_id = new.message_id and p.body = '\\x30')"
            " then raise exception 'a bug' using errcode = 'internal_error'; end if; return new; end $$"
        )
        await owner.execute(
            "create trigger refused before insert on attempt for each row execute function refused()"
        )
        with capture_logs() as logs:
            async with world.intake(dispatcher.hand_over) as intake:
                await intake.accept_many([world.draft(app, b"%d" % n) for n in range(20)])

            def ended() -> bool:
                wanted = "complete.parked" if whole else "complete.refused"
                return any(log["event"] == wanted for log in logs)

            await until(ended, "the outcome is given up")
            await world.until_states({DELIVERED: 19, 1: 1} if whole else {DELIVERED: 20})
            looks = 0
            seen = dispatcher._backlog_poller._seen

            async def counted(lanes: list[LaneRef], horizon: float) -> None:
                nonlocal looks
                looks += 1
                await seen(lanes, horizon)

            dispatcher._backlog_poller._seen = counted
            await until(lambda: looks >= 5, "the table is looked at again and again")
        bodies = Counter(request.body for request in receiver.requests)
        assert set(bodies.values()) == {1}
        assert len(bodies) == 20


@pytest.mark.parametrize("stops", [True, False])
async def test_a_parked_outcome_is_written_once_the_database_accepts_it(
    world: World, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch, stops: bool
) -> None:
    """At the next try, or when the process stops; so that no other process sends it again."""
    monkeypatch.setattr(completer, "AGAIN", 10 * PATIENCE if stops else 0.1)
    app = await world.application()
    async with Receiver() as receiver:
        async with world.dispatching() as dispatcher:
            await world.endpoint(app, receiver.url)
            await owner.execute("alter table attempt add constraint refused check (number < 0) not valid")
            async with world.intake(dispatcher.hand_over) as intake:
                await intake.accept(world.draft(app))
            await until(lambda: bool(dispatcher._completer.parked), "the outcome is parked")
            assert await world.states() == {1: 1}
            await owner.execute("alter table attempt drop constraint refused")
            if not stops:
                await world.until_states({DELIVERED: 1})
                await until(lambda: not dispatcher._completer.parked)
        assert await world.states() == {DELIVERED: 1}
        looks: list[list[LaneRef]] = []

        async def noted(lanes: list[LaneRef], horizon: float) -> None:
            looks.append(lanes)

        async with world.dispatching() as dispatcher:
            dispatcher._backlog_poller._seen = noted
            dispatcher._backlog_poller.look()
            await until(lambda: bool(looks))
        assert looks[-1] == []
        assert len(receiver.requests) == 1
