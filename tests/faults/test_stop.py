"""SIGTERM and a killed worker under load, with `serve --processes 2`."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.faults.account import account, report
from tests.faults.harness import (
    CYCLES,
    LONG,
    Server,
    client,
    recorded,
    seen,
    servers,
    shared_by,
    until_delivered,
)
from tests.kit.patience import PATIENCE, until
from tests.kit.receiver import Held, Receiver, Reply

LOAD = 400 if LONG else 160


async def test_a_stop_under_load_completes_attempts_and_repeats_nothing(
    directory: Path, database_url: str
) -> None:
    async with Receiver(Reply(delay=0.3)) as receiver, servers(directory) as started:
        variables = {"ANGARIUM_REQUEST_TIMEOUT": "60s"}
        server = await started.serve(database_url, "--processes", "2", **variables)
        async with client(server) as api:
            await api.app("one", receiver.url)
            for cycle in range(CYCLES):
                await shared_by(database_url, 2)
                goal = len(api.accepted) + LOAD
                loading = asyncio.create_task(api.load("one", LOAD, clients=8))
                await api.until_accepted(goal - LOAD // 2)
                assert await server.terminate() == 0
                assert receiver.count > 0, "nothing was in flight"
                again = "2" if cycle + 1 < CYCLES else "1"  # the last only has to send the rest
                server = api.server = await started.serve(database_url, "--processes", again, **variables)
                await asyncio.wait_for(loading, PATIENCE)
            seconds = await until_delivered(api.accepted, receiver)
            result = account(api.accepted, receiver)
            refused = dict(api.refused)
    report(
        "SIGTERM under load, two workers", CYCLES, result,
        refused=refused, seconds_after_the_load=f"{seconds:.1f}",
    )  # fmt: skip
    assert result.lost == 0
    assert result.duplicates == 0


async def _refused(server: Server) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


async def test_a_killed_worker_is_replaced_nothing_is_lost_and_a_stop_refuses_new_requests(
    directory: Path, database_url: str
) -> None:
    paths = [f"/hook{number}" for number in range(4)]  # so that it hardly ever is the one with nothing to do
    async with Receiver(Reply(delay=0.01)) as receiver, servers(directory) as started:
        variables = {"ANGARIUM_REQUEST_TIMEOUT": "60s"}
        server = await started.serve(database_url, "--processes", "2", **variables)
        async with client(server) as api:
            await api.app("one", *(f"http://127.0.0.1:{receiver.port}{path}" for path in paths))
            for _ in range(CYCLES):
                await shared_by(database_url, 2)
                loading = asyncio.create_task(api.load("one", LOAD, clients=8))
                await api.until_accepted(len(api.accepted) + LOAD * 3 // 8)
                killed = server.workers()[0]
                before = await recorded(database_url)
                killed.kill()
                in_flight = await seen(receiver) - before  # of all cycles so far
                await until(
                    lambda killed=killed: len(server.workers()) == 2 and killed not in server.workers(),  # type: ignore[misc]
                    "the killed worker is replaced",
                )
                await asyncio.wait_for(loading, PATIENCE)
            seconds = await until_delivered(api.accepted, receiver, paths=paths)
            result = account(api.accepted, receiver, paths=paths)
            # the parent kept listening until the last worker had stopped, without a response
            held = receiver.default = Held()
            so_far = receiver.count
            assert await api.send("one", {"n": 0}) is not None
            await receiver.wait_for(so_far + 1)
            stopping = asyncio.create_task(server.terminate())
            await until(lambda: _refused(server), "connections are refused")
            assert not stopping.done()
            held.release.set()
            assert await stopping == 0
    report(
        "one of two workers killed", CYCLES, result,
        in_flight=in_flight, seconds_after_the_load=f"{seconds:.1f}",
    )  # fmt: skip
    assert result.lost == 0
    assert result.duplicates <= in_flight
