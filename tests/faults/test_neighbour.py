"""A sick endpoint beside healthy ones: the trouble stays where it is."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import asyncpg
import msgspec

from angarium.store.embedded import EmbeddedPostgres
from tests.faults.account import account, report
from tests.faults.harness import CYCLES, Client, client, servers, shared_by, until, until_delivered
from tests.kit.receiver import (
    Behaviour,
    Drip,
    Endless,
    Hangup,
    Received,
    Receiver,
    Reply,
    Reset,
    Silence,
    endless_headers,
)

BACKLOG = 20_000
PER_ENDPOINT = 16
HEALTHY = 10
RATE = 15  # messages a second, each to every healthy endpoint
PHASE = 2.0  # seconds


class Latency:
    """Answers, and notes how long each message took to come."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def __call__(self, request: Received) -> Reply:
        self.times.append(time.monotonic() - msgspec.json.decode(request.body)["sent"])
        return Reply()

    def take(self) -> list[float]:
        times, self.times = self.times, []
        return times


@asynccontextmanager
async def second_database(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    owner = await asyncpg.connect(postgres.url("postgres"))
    try:
        await owner.execute("create database faults_second template angarium_template strategy file_copy")
        try:
            yield postgres.url("faults_second")
        finally:
            await owner.execute("drop database faults_second with (force)")
    finally:
        await owner.close()


async def steady(api: Client, seconds: float) -> None:
    """Messages at an even pace, whatever becomes of those before; one to the other endpoint with each."""
    end = time.monotonic() + seconds
    at = time.monotonic()
    async with asyncio.TaskGroup() as group:
        while at < end:
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            group.create_task(api.send("healthy", {"sent": time.monotonic()}))
            group.create_task(api.send("other", {"sent": time.monotonic()}))
            at += 1 / RATE


async def test_an_endpoint_that_never_answers_costs_the_others_nothing(
    directory: Path, database_url: str, postgres: EmbeddedPostgres
) -> None:
    """The same load on two servers in turn; one of them has a silent endpoint with a backlog."""
    latency = Latency()
    variables = {"ANGARIUM_ENDPOINT_CONCURRENCY": str(PER_ENDPOINT), "ANGARIUM_REQUEST_TIMEOUT": "3s"}
    async with AsyncExitStack() as stack:
        well = await stack.enter_async_context(Receiver(latency))
        quiet = await stack.enter_async_context(Receiver())
        silent = await stack.enter_async_context(Receiver(Silence()))
        second = await stack.enter_async_context(second_database(postgres))
        started = await stack.enter_async_context(servers(directory))
        clients: list[Client] = []
        for url, other in ((database_url, silent), (second, quiet)):
            server = await started.serve(url, **variables)
            api = await stack.enter_async_context(client(server))
            await api.app("healthy", *(f"http://127.0.0.1:{well.port}/e{n}" for n in range(HEALTHY)))
            await api.app("other", other.url)
            clients.append(api)
            await steady(api, 0.5)  # connections are made, caches are warm
        sick, plain = clients
        empty = sick.server.resident()
        filler = "x" * 1000
        await sick.send_many("other", [{"sent": 0, "filler": filler} for _ in range(BACKLOG)])
        await until(lambda: silent.connections.open > 0, "the silent endpoint is tried")
        times: dict[bool, list[float]] = {True: [], False: []}
        await asyncio.sleep(1)
        latency.take()
        most = 0.0
        for _ in range(2 * CYCLES):
            for api in (sick, plain):
                before = well.count
                await steady(api, PHASE)
                await until(
                    lambda before=before: well.count >= before + HEALTHY * int(PHASE * RATE),  # type: ignore[misc]
                    "the healthy endpoints have theirs",
                )
                times[api is sick] += latency.take()
                most = max(most, sick.server.resident())
    (beside, alone) = (statistics.quantiles(times[which], n=100) for which in (True, False))
    healthy = len(times[True])
    print(  # noqa: T201
        f"\n[fault] silent endpoint with a backlog of {BACKLOG}: cycles {2 * CYCLES}, {healthy} deliveries"
        f" beside it: p50 {beside[49] * 1000:.1f} ms ({beside[49] / alone[49]:.2f} of alone),"
        f" p95 {beside[94] * 1000:.1f} ms ({beside[94] / alone[94]:.2f} of alone);"
        f" connections to it at most {silent.connections.most} of {PER_ENDPOINT};"
        f" resident memory {empty:.0f} MB before, {most:.0f} MB at most"
    )
    assert silent.connections.most <= PER_ENDPOINT
    assert beside[49] < 2 * alone[49] + 0.05
    assert beside[94] < 2 * alone[94] + 0.1
    assert most < empty + 100


async def test_receivers_that_misbehave_are_cut_off_and_described(directory: Path, database_url: str) -> None:
    big = Reply(500, b"x" * 10_000_000)
    misbehaving: dict[str, Behaviour] = {
        "one byte a second": Drip(500),
        "its head one byte a second": Drip(head=False),
        "endless headers": endless_headers(),
        "10 MB of body": big,
        "endless body": Endless(b"HTTP/1.1 500 No\r\ncontent-length: 1000000000000\r\n\r\n", b"a"),
        "reset": Reset(),
        "reset in the middle": Reset(b"HTTP/1.1 200 OK\r\ncontent-le"),
        "no answer, hung up": Hangup(),
        "silence": Silence(),
    }
    count = 150 * CYCLES
    variables = {
        "ANGARIUM_REQUEST_TIMEOUT": "2s",
        "ANGARIUM_RETRY_SCHEDULE": "",
        "ANGARIUM_RESPONSE_LIMIT": "4096",
    }
    async with AsyncExitStack() as stack:
        well = await stack.enter_async_context(Receiver())
        ill = [await stack.enter_async_context(Receiver(one)) for one in misbehaving.values()]
        started = await stack.enter_async_context(servers(directory))
        server = await started.serve(database_url, **variables)
        api = await stack.enter_async_context(client(server))
        (healthy,) = await api.app("well", well.url)
        endpoints = await api.app("ill", *(receiver.url for receiver in ill))
        bad = Client(server, api.session)
        for n in range(12):
            assert await bad.send("ill", {"n": n}) is not None
        empty = server.resident()
        await api.load("well", count, clients=4)
        seconds = await until_delivered(api.accepted, well, timeout=20)
        result = account(api.accepted, well)
        words: dict[str, str] = {}
        for name, endpoint in zip(misbehaving, endpoints, strict=True):

            async def tried(endpoint: str = endpoint, name: str = name) -> bool:
                status, answer = await api.call("GET", f"/app/ill/attempt/endpoint/{endpoint}?limit=50")
                assert status == 200, answer
                for attempt in answer["data"]:
                    assert attempt["status"] == 2, (name, attempt)
                    assert attempt["responseDurationMs"] < 20_000
                    assert len(attempt["response"]) <= 4096
                    words[name] = f"{attempt['responseStatusCode']} {attempt.get('error')}"
                return len(answer["data"]) >= 1

            await until(tried, f"attempts at {name} are recorded")
        grown = server.resident() - empty
        _, answer = await api.call("GET", f"/app/well/attempt/endpoint/{healthy}?limit=1")
        assert answer["data"][0]["status"] == 0
    report(
        "misbehaving receivers", CYCLES, result,
        seconds_after_the_load=f"{seconds:.1f}", memory_grown=f"{grown:.0f} MB",
    )  # fmt: skip
    for name, text in words.items():
        print(f"        {name}: {text}")  # noqa: T201
    assert result.lost == 0
    assert result.duplicates == 0
    assert seconds < 15
    assert grown < 60


async def test_a_silent_endpoint_holds_nobody_up_while_lanes_change_hands(
    directory: Path, database_url: str
) -> None:
    """A process that joins gets shards that are drained first; that must not wait for the slowest attempt
    of any of them. (It took 14 seconds.)"""
    times: dict[str, list[float]] = {}

    def answer(request: Received) -> Reply:
        times.setdefault(request.path, []).append(
            time.monotonic() - msgspec.json.decode(request.body)["sent"]
        )
        return Reply()

    async with Receiver(answer) as well, Receiver(Silence()) as silent, servers(directory) as started:
        variables = {"ANGARIUM_REQUEST_TIMEOUT": "15s"}
        server = await started.serve(database_url, **variables)
        async with client(server) as api:
            paths = [f"/e{n}" for n in range(12)]
            await api.app("healthy", *(f"http://127.0.0.1:{well.port}{path}" for path in paths))
            await api.app("other", *(f"{silent.url}?{n}" for n in range(6)))
            for _ in range(20):
                await Client(server, api.session).send("other", {"sent": 0})
            await until(lambda: silent.connections.open >= 6, "the silent endpoints are tried")
            joining = asyncio.create_task(started.serve(database_url, **variables))
            end = time.monotonic() + 8
            while time.monotonic() < end:
                await api.send("healthy", {"sent": time.monotonic()})
                await asyncio.sleep(0.1)
            await joining
            await until_delivered(api.accepted, well, paths=paths)
            await shared_by(database_url, 2)
    result = account(api.accepted, well, paths=paths)
    slowest = {path: max(found) for path, found in times.items()}
    report(
        "silent endpoints while a process joins", 1, result,
        slowest_of_each_healthy_endpoint=" ".join(f"{slowest[path]:.1f}" for path in paths),
    )  # fmt: skip
    assert result.lost == 0
    assert max(slowest.values()) < 5
