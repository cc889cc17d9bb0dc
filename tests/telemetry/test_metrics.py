"""Events of real parts, as the metrics of one process show them."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from typing import Any

import asyncpg
import pytest
import structlog

from angarium import telemetry
from angarium.core import ids
from angarium.core.errors import StoreReason, StoreUnavailable
from angarium.core.event import REFUSED, Events
from angarium.core.failure import KINDS
from angarium.core.keyring import Keyring
from angarium.core.outage import FIRST
from angarium.dispatch.transport.resolver import SystemResolver
from angarium.dispatch.transport.sender import Sender
from angarium.service.idempotency import Idempotency, KeyClaim
from angarium.service.product import Products
from angarium.service.rewrap import Rewrap
from angarium.service.usage import EVERY, IDLE, UsageFolder
from angarium.store import fan_out, gauge
from angarium.store.database import Database
from angarium.telemetry.catalogue import CATALOGUE
from angarium.telemetry.combination import combined
from angarium.telemetry.database_watch import DatabaseWatch
from angarium.telemetry.exposition import exposition
from angarium.telemetry.logs import EVENTS, OWN_FAULTS
from angarium.telemetry.measurement import Measurement
from angarium.telemetry.sink import Sink
from tests.dispatch.test_our_faults import ALL, HOSTS, Names
from tests.kit import many
from tests.kit.clock import ManualClock
from tests.kit.patience import until
from tests.kit.receiver import Receiver
from tests.kit.scrape import Scrape, parsed
from tests.kit.world import LOOPBACK, World


def shown(measurement: Measurement) -> Scrape:
    body, _ = exposition(CATALOGUE, combined({"0": measurement.registry.snapshot()}))
    return parsed(body.decode())


async def test_a_fault_of_ours_is_on_side_ours_and_its_end_is_seen(world: World) -> None:
    measurement = Measurement("all")
    names = Names()
    names.dead = True
    app = await world.application()
    resolver = SystemResolver(lookup=names.lookup)
    sender = Sender(
        policy=LOOPBACK, response_limit=1000, connections=100, resolver=resolver, now=world.clock.now
    )
    async with Receiver() as receiver:
        port = receiver.url.split(":")[2].split("/")[0]
        for host in HOSTS:
            await world.endpoint(app, f"http://{host}:{port}/hook")
        parts: dict[str, Any] = {"sender": sender, "events": measurement.events}
        async with world.dispatching(**parts) as dispatcher, world.intake(dispatcher.hand_over) as intake:
            measurement.watch_dispatcher(dispatcher.state, lambda: dispatcher.leads)
            await intake.accept(world.draft(app))
            await until(lambda: shown(measurement).get("paused_endpoints", cause="resolver_down") == ALL)
            now = shown(measurement)
            assert now.total("attempts_total", side="ours", outcome="waiting", cause="resolver_down") >= ALL
            assert now.total("attempts_total") == now.total("attempts_total", side="ours")
            paused = now.get("paused_seconds_total", cause="resolver_down") or 0
            await until(
                lambda: (shown(measurement).get("paused_seconds_total", cause="resolver_down") or 0) > paused
            )
            names.dead = False
            await until(lambda: shown(measurement).total("attempts_total", outcome="delivered") == ALL)
            now = shown(measurement)
            assert now.get("paused_endpoints", cause="resolver_down") == 0
            paused = now.total("paused_seconds_total")
            assert paused == now.get("paused_seconds_total", cause="resolver_down")
            assert paused >= FIRST
            assert shown(measurement).total("paused_seconds_total") == paused, "it is over"
            # nothing held the lanes but our fault, so all of the delay is ours
            assert now.get("attempt_lateness_seconds_count", held="no") == ALL
            assert now.get("attempt_lateness_seconds_sum", held="no") > 0.4 * ALL  # type: ignore[operator]


async def test_a_rate_limit_holds_and_the_delay_is_not_ours(world: World) -> None:
    measurement = Measurement("all")
    app = await world.application()
    async with Receiver() as receiver:
        await world.endpoint(app, receiver.url, rate_limit=5)
        async with (
            world.dispatching(events=measurement.events) as dispatcher,
            world.intake(dispatcher.hand_over) as intake,
        ):
            await asyncio.gather(*(intake.accept(world.draft(app)) for _ in range(12)))
            await until(lambda: shown(measurement).total("attempts_total", outcome="delivered") == 12)
    now = shown(measurement)
    assert now.get("attempt_lateness_seconds_count", held="rate") >= 6  # type: ignore[operator]
    assert now.get("first_attempt_seconds_sum") > now.total("attempt_lateness_seconds_sum")  # type: ignore[operator]


async def test_listed_applications_have_series_of_their_own_and_all_others_share_one(world: World) -> None:
    listed, other, third = [await world.application() for _ in range(3)]
    name = ids.text(ids.APPLICATION, listed.id)
    measurement = Measurement("all", [name])
    async with Receiver() as receiver:
        for app in (listed, other, third):
            await world.endpoint(app, receiver.url)
        async with (
            world.dispatching(events=measurement.events) as dispatcher,
            world.intake(dispatcher.hand_over, events=measurement.events) as intake,
        ):
            for app in (listed, listed, other, third):
                await intake.accept(world.draft(app))
            await until(lambda: shown(measurement).total("attempts_total", outcome="delivered") == 4)
    now = shown(measurement)
    for metric, more in (
        ("application_messages_total", {}),
        ("application_attempts_total", {"outcome": "delivered"}),
    ):
        assert now.get(metric, application=name, **more) == 2
        assert now.get(metric, application="other", **more) == 2
    assert now.values("application") == {name, "other"}


@pytest.fixture
def watch(world: World) -> Callable[[Measurement, bool], DatabaseWatch]:
    def made(measurement: Measurement, leads: bool) -> DatabaseWatch:
        registry, events = measurement.registry, measurement.events
        return DatabaseWatch(
            *(registry, events, world.database, world.clock),
            lambda: leads,
            timedelta(days=90),
            world.keyring,
        )

    return made


async def test_the_leader_tells_the_backlog_and_others_only_what_all_must_tell(
    world: World, watch: Any
) -> None:
    app = await world.application()
    await world.endpoint(app, "http://127.0.0.1:9/")
    await world.endpoint(app, "http://127.0.0.1:9/limited", rate_limit=1)
    async with world.intake() as intake:
        await intake.accept(world.draft(app))
    # as if they had waited for ten minutes, and for five
    await world.fetch("update pending set due_at = due_at - interval '10 minutes'")
    await world.fetch(
        "update pending set due_at = due_at + interval '5 minutes' where endpoint_id in "
        "(select id from endpoint where rate_limit is null)"
    )
    leader, follower = Measurement("all"), Measurement("api")
    await watch(leader, True).refresh()
    await watch(follower, False).refresh()
    now = shown(leader)
    assert 300 <= now.get("oldest_due_seconds", held="no") < 360  # type: ignore[operator]
    assert 600 <= now.get("oldest_due_seconds", held="yes") < 660  # type: ignore[operator]
    assert now.get("deliveries", state="due") == 2
    assert now.get("deliveries_complete") == 1
    assert now.get("shards_unowned") == 64
    assert now.get("db_writable") == 1
    assert now.get("database_bytes") > 1_000_000  # type: ignore[operator]
    for table in ("message", "attempt", "payload"):
        assert now.get("retention_lag_seconds", table=table) == 0
    other = shown(follower)
    assert other.get("shards_unowned") == 64
    assert other.get("db_writable") == 1
    assert not other.names() & {"oldest_due_seconds", "deliveries", "partitions", "tasks_running"}


async def test_a_count_stops_at_its_limit_and_says_so(
    world: World, watch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gauge, "COUNTED", 3)
    app = await world.application()
    for _ in range(5):
        await world.endpoint(app, "http://127.0.0.1:9/")
    async with world.intake() as intake:
        await intake.accept(world.draft(app))
    measurement = Measurement("all")
    await watch(measurement, True).refresh()
    now = shown(measurement)
    assert now.get("deliveries", state="due") == 3
    assert now.get("deliveries_complete") == 0


async def test_what_an_older_key_encrypts_is_counted_until_all_is_encrypted_again(
    world: World, watch: Any
) -> None:
    app = await world.application()
    await world.endpoint(app, "http://127.0.0.1:9/", headers={"X-Shop": "1"})
    await world.endpoint(app, "http://127.0.0.1:9/2")
    keys = Idempotency(world.database, world.clock, os.urandom, world.keyring)
    claim = await keys.begin(os.urandom(32))
    assert isinstance(claim, KeyClaim)
    await keys.finish(claim, 201, b"{}", (app.org_id, "customer"))
    measurement = Measurement("all")

    async def counted() -> list[float | None]:
        await watch(measurement, True).refresh()
        now = shown(measurement)
        return [now.get("old_key_values", kind=kind) for kind in ("endpoint", "response")]

    assert await counted() == [0, 0]
    world.keyring.replace(Keyring([b"n" * 32, b"k" * 32]))
    assert await counted() == [2, 1]
    await world.endpoint(app, "http://127.0.0.1:9/new")
    assert await counted() == [2, 1]
    await Rewrap(world.database, os.urandom, world.keyring).rewrap()
    assert await counted() == [0, 0]


async def test_what_cannot_be_read_is_missing_and_a_read_only_database_is_told(
    database_url: str, world: World, watch: Any
) -> None:
    measurement = Measurement("all")
    await watch(measurement, True).refresh()
    assert shown(measurement).get("db_writable") == 1
    owner = await asyncpg.connect(database_url)
    name = await owner.fetchval("select current_database()")
    await owner.execute(f'alter database "{name}" set default_transaction_read_only = on')
    await owner.close()
    replaced = await Database.connect(database_url)
    try:
        read_only = DatabaseWatch(
            *(measurement.registry, measurement.events, replaced, world.clock),
            lambda: True,
            timedelta(days=90),
            world.keyring,
        )
        await read_only.refresh()
        assert shown(measurement).get("db_writable") == 0
    finally:
        await replaced.close()
    await read_only.refresh()  # its pool is closed, as if the database were gone
    now = shown(measurement)
    assert now.get("db_writable") == 0
    assert not now.names() & {"deliveries", "shards_unowned", "oldest_due_seconds"}


async def test_an_owned_shard_is_not_among_those_without_owner(world: World, watch: Any) -> None:
    measurement = Measurement("all")
    async with world.dispatching(events=measurement.events) as dispatcher:
        await until(lambda: len(dispatcher.owned) == 64)
        await watch(measurement, True).refresh()
        assert shown(measurement).get("shards_unowned") == 0
        assert shown(measurement).get("shard_changes_total", change="taken") == 64


@pytest.fixture
def errors_only() -> Iterator[None]:
    """Loggers that are made later are as in other tests."""
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers, root.level
    telemetry.configure("json", "error")
    yield
    structlog.configure(**before)
    root.handlers = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("errors_only")
async def test_a_warning_counts_as_an_own_fault_even_if_it_is_not_logged(world: World) -> None:
    measurement = Measurement("all")
    telemetry.logger("test").warning("complete.waiting")
    telemetry.logger("test").warning("credential.refused")
    telemetry.logger("test").info("shards.lost")
    now = shown(measurement)
    assert now.get("own_faults_total", event="complete.waiting") == 1
    assert now.total("own_faults_total") == 1
    assert now.values("event") == OWN_FAULTS <= set(EVENTS)


def test_a_listener_that_fails_stops_neither_the_others_nor_the_caller() -> None:
    class Broken(Events):
        def done(self, job: str) -> None:
            raise RuntimeError

    told: list[str] = []

    class Told(Events):
        def done(self, job: str) -> None:
            told.append(job)

    Sink([Broken(), Told()]).done("tasks")
    assert told == ["tasks"]


async def test_gauges_of_parts_are_read_at_the_scrape(world: World) -> None:
    measurement = Measurement("all")
    held = 3
    measurement.watch_intake(lambda: (held, 10 * held))
    measurement.watch_pools([world.database])
    assert shown(measurement).get("intake_waiting_bytes") == 30
    held = 4
    assert shown(measurement).get("intake_waiting_messages") == 4
    async with world.database.connection():
        assert shown(measurement).get("db_connections", pool="engine", state="used") == 1
    assert shown(measurement).get("db_connections", pool="engine", state="used") == 0


async def test_what_runs_beside_is_measured_until_the_process_stops(world: World) -> None:
    measurement = Measurement("all")
    async with AsyncExitStack() as stack:
        measurement.start(stack, world.database, world.clock, timedelta(days=90), world.keyring)
        await until(lambda: shown(measurement).get("db_writable") == 1)
        await until(lambda: (shown(measurement).get("loop_lag_seconds_count") or 0) >= 1)
    assert not [
        task for task in asyncio.all_tasks() if task.get_name() == "telemetry" and not task.cancelling()
    ]


def succeeded_at(measurement: Measurement, job: str) -> float | None:
    return shown(measurement).get("job_last_success_timestamp_seconds", job_name=job)


def succeeded(measurement: Measurement, job: str) -> bool:
    return bool(succeeded_at(measurement, job))


async def test_jobs_tell_when_they_last_succeeded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from angarium.dispatch import maintenance

    monkeypatch.setattr(maintenance, "EVERY", 0.05)
    monkeypatch.setattr(maintenance, "DELETE_EVERY", 0.05)
    measurement = Measurement("all")
    async with world.dispatching(events=measurement.events):
        for job in ("tasks", "partitions", "retention"):
            await until(partial(succeeded, measurement, job))


async def test_adding_up_usage_tells_when_it_succeeded_also_if_nothing_is_counted(world: World) -> None:
    clock = ManualClock()
    measurement = Measurement("all")
    folder = UsageFolder(
        world.database, clock, os.urandom, Products(world.database, clock, {}), events=measurement.events
    )
    folding = asyncio.create_task(folder.run())
    try:
        for wait in (EVERY, IDLE + EVERY):
            before = succeeded_at(measurement, "usage")

            async def again(wait: float = wait, before: float | None = before) -> bool:
                await clock.advance_to(clock.now() + wait)
                return succeeded_at(measurement, "usage") != before

            await until(again)
    finally:
        folding.cancel()


async def test_turned_away_messages_are_counted_by_reason(world: World) -> None:
    measurement = Measurement("all")
    app = await world.application()
    async with world.intake(events=measurement.events, capacity=1) as intake:
        results = await asyncio.gather(
            *(intake.accept(world.draft(app)) for _ in range(3)), return_exceptions=True
        )
    refused = sum(isinstance(one, Exception) for one in results)
    assert refused >= 1
    assert shown(measurement).get("intake_turned_away_total", reason="full") == refused


async def test_deliveries_of_large_messages_are_counted_as_they_are_written(world: World) -> None:
    measurement = Measurement("all")
    app = await world.application()
    crowd = fan_out.ROOM + 7
    async with Receiver() as receiver, world.dispatching(events=measurement.events) as dispatcher:
        async with world.database.connection() as connection:
            await many.endpoints(connection, app, crowd, f"{receiver.url}/", keyring=world.keyring)
        async with world.intake(
            dispatcher.hand_over, dispatcher.fan_out, events=measurement.events
        ) as intake:
            await intake.accept(world.draft(app))
            assert shown(measurement).get("deliveries_created_total") < crowd  # type: ignore[operator]
            await until(lambda: shown(measurement).get("deliveries_created_total") == crowd)


async def test_failures_of_the_database_are_counted_by_reason_from_zero(
    database_url: str, world: World
) -> None:
    measurement = Measurement("all")
    database = await Database.connect(database_url, events=measurement.events)
    app = await world.application()
    async with World(database).intake(events=measurement.events) as intake:
        await intake.accept(world.draft(app))
        now = shown(measurement)
        reasons = {*(reason.value for reason in StoreReason), REFUSED}
        assert {reason: now.get("db_errors_total", pool="engine", reason=reason) for reason in reasons} == (
            dict.fromkeys(reasons, 0)
        )
        assert now.get("db_wait_seconds_count", pool="engine") >= 1  # type: ignore[operator]
        await database.close()  # as if it were gone
        with pytest.raises(StoreUnavailable):
            await intake.accept(world.draft(app))
    now = shown(measurement)
    assert now.get("db_errors_total", pool="engine", reason="unreachable") == 1
    assert now.get("intake_turned_away_total", reason="database") == 1


def test_every_fault_of_ours_has_a_series() -> None:
    from angarium.telemetry.measurement import FAULTS

    assert set(FAULTS) == {kind.code for kind in KINDS.values() if kind.ours}
