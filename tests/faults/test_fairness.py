"""Trouble stays where it is: sick endpoints, a loud tenant and an enormous backlog beside healthy ones.

The short versions are small, the long ones have the sizes that `docs/reliability.md` speaks of. Bounds are
generous, because other things may run beside; what was measured is in the table.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import pytest

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.nouns import Application
from angarium.store import partition
from angarium.store.connection import Connector
from angarium.store.database import Database
from tests.faults.account import Account, report
from tests.faults.harness import LONG, Client, Servers, client, servers
from tests.faults.latency import Latency, Spread, spread, steady
from tests.kit.patience import until
from tests.kit.port import free_port
from tests.kit.receiver import Behaviour, Received, Receiver, Reply, Silence
from tests.kit.world import World

ENDPOINTS = 10_000 if LONG else 300
APPS = 100 if LONG else 10  # so many endpoints get each message: ENDPOINTS / APPS
RATE = 4.0 if LONG else 5.0  # messages a second
PHASE = 30.0 if LONG else 4.0  # seconds
BACKLOG = 1_000_000 if LONG else 100_000
LIMIT = 3.0
SLACK = 0.5  # seconds
"""How much longer the healthy may wait beside the sick: LIMIT times as long, and that."""
TRIES = 3
VARIABLES = {"ANGARIUM_REQUEST_TIMEOUT": "5s", "ANGARIUM_RETRY_SCHEDULE": "5s,5m"}
T = TypeVar("T")


def fair(beside: Spread, alone: Spread) -> bool:
    return beside.p99 <= LIMIT * alone.p99 + SLACK


async def at_best(measure: Callable[[], Awaitable[T]], good: Callable[[T], bool]) -> T:
    """Measured again, a few times, while it is not good: a real problem shows every time, and a
    machine that paused for a moment continues."""
    for _ in range(TRIES):
        found = await measure()
        if good(found):
            break
    return found


class Sickness(Latency):
    """Endpoints whose path begins so do so; the others are well."""

    def __call__(self, request: Received) -> Behaviour:  # type: ignore[override]
        if request.path.startswith("/hangs"):
            return Silence()
        if request.path.startswith("/slow"):
            return Reply(delay=2.0)
        return super().__call__(request)


async def endpoints(database: Database, apps: list[Application], urls: list[str]) -> None:
    """One endpoint for each URL, dealt out to the applications."""
    world = World(database)
    gate = asyncio.Semaphore(8)

    async def make(app: Application, url: str) -> None:
        async with gate:
            await world.endpoint(app, url)

    async with asyncio.TaskGroup() as group:
        for n, url in enumerate(urls):
            group.create_task(make(apps[n % len(apps)], url))


@contextlib.asynccontextmanager
async def beside_silence(directory: Path) -> AsyncIterator[tuple[Latency, Receiver, Receiver, Servers]]:
    """A receiver that notes how long messages took, one that never answers, and servers to be started."""
    latency = Latency()
    async with (
        Receiver(latency, keep=False) as receiver,
        Receiver(Silence(), keep=False) as silent,
        servers(directory) as started,
    ):
        yield latency, receiver, silent, started


@pytest.mark.timeout(900 if LONG else 300)
async def test_one_percent_each_of_hanging_refusing_and_slow_endpoints_delays_no_other(
    directory: Path, database_url: str, database: Database
) -> None:
    sickness = Sickness()
    sick = max(1, ENDPOINTS // 100)
    async with Receiver(sickness, keep=False) as receiver, servers(directory) as started:
        host, nobody = f"http://127.0.0.1:{receiver.port}", f"http://127.0.0.1:{free_port()}"
        apps = [await World(database).application(uid=f"app{n}") for n in range(APPS)]
        await endpoints(database, apps, [f"{host}/e{n}" for n in range(ENDPOINTS - 3 * sick)])
        server = await started.serve(database_url, **VARIABLES)
        async with client(server) as api:
            names = [app.uid or "" for app in apps]
            await api.send_many(names[0], [{"sent": time.monotonic()}] * 5)
            await warmed(api, names)
            alone = await measured(api, names, sickness)
            kinds = (f"{host}/hangs", f"{host}/slow", f"{nobody}/refused")

            async def with_sick() -> Spread:
                """Each time some that have just started to fail: no limit applies to them yet."""
                await endpoints(database, apps, [f"{kind}{n}" for n in range(sick) for kind in kinds])
                await warmed(api, names)
                return await measured(api, names, sickness)

            beside = await at_best(with_sick, lambda beside: fair(beside, alone))
            lost = await undelivered(database, f"{host}/e")
            accepted = len(api.accepted)
    report(
        f"{ENDPOINTS} endpoints, 1 % hang, 1 % refuse, 1 % are slow", 1,
        Account(accepted, len(sickness.times), 0, lost),
        delay_of_the_healthy=beside, without_the_sick=alone, ratio=beside.over(alone),
    )  # fmt: skip
    assert lost == 0
    assert fair(beside, alone), f"{beside}, alone {alone}"


@pytest.mark.timeout(900 if LONG else 300)
async def test_as_many_dead_endpoints_as_there_can_be_delay_no_other(
    directory: Path, database_url: str, database: Database
) -> None:
    """All but one are known to fail: half of them hang, half refuse, and each of them gets messages."""
    async with beside_silence(directory) as (latency, receiver, silent, started):
        world = World(database)
        well = await world.application(uid="well")
        await world.endpoint(well, receiver.url)
        apps = [await world.application(uid=f"dead{n}") for n in range(APPS)]
        kinds = (f"http://127.0.0.1:{silent.port}/hangs", f"http://127.0.0.1:{free_port()}/refused")
        await endpoints(database, apps, [f"{kinds[n // APPS % 2]}{n}" for n in range(ENDPOINTS)])
        await world.fetch(
            "insert into endpoint_health (app_id, endpoint_id, failing_since, failures)"
            " select app_id, id, now(), 50 from endpoint where app_id <> $1",
            well.id,
        )
        server = await started.serve(database_url, **VARIABLES)
        async with client(server) as api:
            dead = Client(server, api.session)
            await steady(api, ["well"], 2.0, 20.0)

            async def measure() -> Spread:
                latency.take()
                sent = await steady(api, ["well"], PHASE, 20.0)
                await until(lambda: len(latency.times) >= sent, "the healthy one has all of its own")
                return spread(latency.take())

            async def with_dead() -> Spread:
                sending = asyncio.create_task(steady(dead, [app.uid or "" for app in apps], PHASE + 1, RATE))
                beside = await measure()
                await sending
                return beside

            alone = await measure()
            beside = await at_best(with_dead, lambda beside: fair(beside, alone))
            refused = await world.fetch("select count(*) from attempt where error_code = 'connect_refused'")
        connections = silent.connections.most
    report(
        f"{ENDPOINTS} dead endpoints", 1, Account(len(api.accepted), len(api.accepted), 0, 0),
        delay_of_the_healthy=beside, without_the_dead=alone, ratio=beside.over(alone),
        connections_to_those_that_hang=f"{connections} at most", attempts_refused=refused[0][0],
    )  # fmt: skip
    assert refused[0][0] > 0
    assert 0 < connections <= 1000, "half of the requests that the process may have in flight"
    assert fair(beside, alone), f"{beside}, alone {alone}"


async def warmed(api: Client, apps: list[str]) -> None:
    """Every application has had a message, so that in each phase lanes are open and connections made."""
    await steady(api, apps, len(apps) / RATE + 1, RATE)


async def measured(api: Client, apps: list[str], latency: Latency) -> Spread:
    """The delays of the healthy in one phase."""
    latency.take()
    sent = await steady(api, apps, PHASE, RATE)
    owed = sent * (ENDPOINTS - 3 * max(1, ENDPOINTS // 100)) // APPS
    await until(lambda: len(latency.times) >= owed * 0.98, "the healthy have theirs")
    return spread(latency.times)


async def undelivered(database: Database, prefix: str) -> int:
    """Deliveries that are still pending at endpoints with such URLs, once nothing more comes."""

    async def owed() -> int:
        async with database.connection() as connection:
            count: int = await connection.fetchval(
                "select count(*) from delivery d"
                " join endpoint e on e.app_id = d.app_id and e.id = d.endpoint_id"
                " where d.state <> 0 and starts_with(e.url, $1)",
                prefix,
            )
        return count

    async def none() -> bool:
        return await owed() == 0

    with contextlib.suppress(AssertionError):
        await until(none, "nothing is pending at healthy endpoints")
    return await owed()


async def test_a_tenant_that_sends_a_hundred_times_more_delays_no_other(
    directory: Path, database_url: str
) -> None:
    quiet, loud = Latency(), Receiver(Reply(delay=0.02), keep=False)
    rate, seconds = 4.0, 30.0 if LONG else 4.0  # messages a second from each of the quiet
    async with Receiver(quiet, keep=False) as receiver, loud, servers(directory) as started:
        server = await started.serve(database_url, **VARIABLES)
        async with client(server) as api:
            names = [f"quiet{n}" for n in range(5)]
            for name in names:
                await api.app(name, receiver.url)
            await api.app("loud", loud.url)
            noise = Client(server, api.session)
            await steady(api, names, 1.0, 5 * rate)
            quiet.take()
            sent = await steady(api, names, seconds, 5 * rate)
            await until(lambda: len(quiet.times) >= sent, "the quiet have theirs")
            alone = spread(quiet.take())

            async def shout() -> None:
                """A hundred times as many as each of the others, ten times a second."""
                at = time.monotonic()
                for _ in range(int(10 * seconds)):
                    await asyncio.sleep(max(0.0, at - time.monotonic()))
                    await noise.send_many("loud", [{"sent": 0.0}] * int(10 * rate))
                    at += 0.1

            async def with_noise() -> Spread:
                shouting = asyncio.create_task(shout())
                sent = await steady(api, names, seconds, 5 * rate)
                await until(lambda: len(quiet.times) >= sent, "the quiet have theirs")
                beside = spread(quiet.take())
                await shouting
                return beside

            beside = await at_best(with_noise, lambda beside: fair(beside, alone))
            await until(lambda: loud.count >= len(noise.accepted), "the loud one has all of its own")
    accepted = len(noise.accepted) + len(api.accepted)
    report(
        "a tenant that sends 100 times more", 1, Account(accepted, accepted, 0, 0),
        delay_of_the_others=beside, without_it=alone, ratio=beside.over(alone),
    )  # fmt: skip
    assert fair(beside, alone), f"{beside}, alone {alone}"


@dataclass(frozen=True)
class Run:
    """Of one server: seconds until its first delivery, then the delays, and its memory in MB."""

    start: float
    delay: Spread
    memory: float

    def good(self, alone: Run) -> bool:
        return self.start <= 2 * alone.start + 5 and fair(self.delay, alone.delay)


@pytest.mark.timeout(900 if LONG else 300)
async def test_an_enormous_backlog_of_a_dead_endpoint_delays_neither_others_nor_a_start(
    directory: Path, database_url: str, database: Database
) -> None:
    """Killed in the middle, as for want of memory, it starts again as quickly."""
    async with beside_silence(directory) as (latency, receiver, silent, started):
        world = World(database)
        app = await world.application(uid="well")
        await world.endpoint(app, receiver.url)
        other = await world.application(uid="dead")
        dead = await world.endpoint(other, silent.url)

        async def run(*, backlogged: bool = True) -> Run:
            connections = silent.connections.total
            before = time.monotonic()
            server = await started.serve(database_url, **VARIABLES)
            async with client(server) as api:
                seen = len(latency.times)
                await api.send("well", {"sent": time.monotonic()})
                await until(lambda: len(latency.times) > seen, "the first is delivered")
                start = time.monotonic() - before
                if backlogged:
                    await until(lambda: silent.connections.total > connections, "the dead one is tried")
                latency.take()
                sent = await steady(api, ["well"], PHASE, 20.0)
                await until(lambda: len(latency.times) >= sent, "the healthy have theirs")
                found = Run(start, spread(latency.times), server.resident())
            await server.kill()
            return found

        alone = await run(backlogged=False)
        await backlog(database_url, other.id, dead.id, dead.shard)
        runs = [await at_best(run, lambda one: one.good(alone)) for _ in range(2)]
    report(
        f"kill -9 beside a backlog of {BACKLOG} for one dead endpoint", 2,
        Account(len(latency.times), len(latency.times), 0, 0),
        first_delivery_after_the_start=", ".join(f"{one.start:.1f} s" for one in runs),
        without_the_backlog_after=f"{alone.start:.1f} s",
        memory=f"{max(one.memory for one in runs):.0f} MB at most",
        delay_of_the_healthy=runs[1].delay, without_the_backlog=alone.delay,
        ratio=runs[1].delay.over(alone.delay),
        connections_to_the_dead_one=f"{silent.connections.most} at most",
    )  # fmt: skip
    assert all(one.good(alone) for one in runs), f"{runs}, alone {alone}"
    assert max(one.memory for one in runs) < 500


async def backlog(url: str, app_id: UUID, endpoint_id: UUID, shard: int) -> None:
    """Messages that are pending at one endpoint, all due."""
    first = ids.lowest(time.time() - 3600).int >> 80
    days = [UUID(int=at << 80) for at in (first, first + BACKLOG // 1000)]
    expires_at = datetime_at(time.time() + 90 * 86400)
    connection = await Connector(url, statement_timeout=None)()
    try:
        await partition.cover(connection, days, [expires_at])
        await connection.execute(
            "create temporary table made as select (lpad(to_hex($1::bigint + n / 1000), 12, '0') || '7'"
            " || lpad(to_hex(n % 4096), 3, '0') || '8' || substr(md5(n::text), 1, 15))::uuid as id"
            " from generate_series(1, $2::integer) as n",
            first,
            BACKLOG,
        )
        await connection.execute(
            "insert into message (app_id, id, event_type, expires_at)"
            " select $1, id, 'fault.made', $2 from made",
            app_id,
            expires_at,
        )
        await connection.execute(
            "insert into payload select id, $1, convert_to(repeat('x', 200), 'utf8') from made", expires_at
        )
        await connection.execute(
            "insert into pending (app_id, endpoint_id, message_id, shard, due_at)"
            " select $1, $2, id, $3, now() - interval '1 hour' from made",
            app_id,
            endpoint_id,
            shard,
        )
        await connection.execute("analyze message, payload, pending")
    finally:
        await connection.close()
