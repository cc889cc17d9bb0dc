"""A sick endpoint beside healthy ones: the trouble stays where it is."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec

from tests.faults.account import account, report
from tests.faults.harness import CYCLES, LONG, Client, client, servers, shared_by, until_delivered
from tests.kit.patience import until
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
    count = 150 * CYCLES if LONG else 60
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
        seconds = await until_delivered(api.accepted, well, timeout=40)
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

        async def succeeds() -> bool:
            """Not every time: this process may stand still for longer than an attempt has."""
            assert await api.send("well", {"one": "more"}) is not None
            _, answer = await api.call("GET", f"/app/well/attempt/endpoint/{healthy}?limit=1")
            return bool(answer["data"][0]["status"] == 0)

        await until(succeeds, "the healthy one's attempts succeed")
    report(
        "misbehaving receivers", CYCLES, result,
        seconds_after_the_load=f"{seconds:.1f}", memory_grown=f"{grown:.0f} MB",
    )  # fmt: skip
    for name, text in words.items():
        print(f"        {name}: {text}")  # noqa: T201
    assert result.lost == 0
    assert result.duplicates == 0
    assert grown < 60


async def test_a_silent_endpoint_delays_no_other_while_lanes_move(directory: Path, database_url: str) -> None:
    """A process that joins gets shards that are drained first; that must not wait for the slowest attempt
    of any of them. (It took nearly as long as the timeout.)"""
    times: dict[str, list[float]] = {}

    def answer(request: Received) -> Reply:
        times.setdefault(request.path, []).append(
            time.monotonic() - msgspec.json.decode(request.body)["sent"]
        )
        return Reply()

    async with Receiver(answer) as well, Receiver(Silence()) as silent, servers(directory) as started:
        variables = {"ANGARIUM_REQUEST_TIMEOUT": "45s"}
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
                await asyncio.sleep(0.1 if LONG else 0.25)
            await joining
            await until_delivered(api.accepted, well, paths=paths)
            await shared_by(database_url, 2)
            await silent.stop()  # or the servers would wait for its answers when they stop
    result = account(api.accepted, well, paths=paths)
    slowest = {path: max(found) for path, found in times.items()}
    report(
        "silent endpoints while a process joins", 1, result,
        slowest_of_each_healthy_endpoint=" ".join(f"{slowest[path]:.1f}" for path in paths),
    )  # fmt: skip
    assert result.lost == 0
    assert max(slowest.values()) < 25
