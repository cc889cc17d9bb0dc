"""kill -9 of `angarium dev` and its PostgreSQL in the middle of a load: nothing that was accepted is lost."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from angarium.store.embedded import DATABASE
from tests.faults.account import account, report
from tests.faults.harness import CYCLES, LONG, client, recorded, seen, servers, until_delivered
from tests.kit.patience import PATIENCE, until
from tests.kit.process import runs
from tests.kit.receiver import Receiver, Reply

MESSAGES = 1000 if LONG else 250


async def test_a_killed_server_loses_no_accepted_message(directory: Path) -> None:
    """Nor is anything repeated that was recorded when it was killed."""
    url = f"postgresql://postgres@/{DATABASE}?host={directory / 'postgres'}"
    async with Receiver(Reply(delay=0.02)) as first, Receiver() as second, servers(directory) as started:
        server = await started.dev()
        async with client(server) as api:
            await api.app("one", first.url, second.url)
            for cycle in range(CYCLES):
                goal = MESSAGES * (cycle + 1)
                loading = asyncio.create_task(api.load("one", goal - len(api.accepted)))
                await api.until_accepted(goal - MESSAGES // 2)
                await server.kill()
                in_flight = await seen(first, second) - await recorded(url)  # of all cycles so far
                await _crash_postgres(directory)
                server = api.server = await started.dev()
                await asyncio.wait_for(loading, PATIENCE)
            seconds = await until_delivered(api.accepted, first, second)
            result = account(api.accepted, first, second)
    report(
        "kill -9 of a development server and its PostgreSQL",
        CYCLES,
        result,
        in_flight=in_flight,
        seconds_after_the_load=f"{seconds:.1f}",
    )
    assert result.accepted >= MESSAGES * CYCLES
    assert result.lost == 0
    assert result.duplicates <= in_flight


async def _crash_postgres(directory: Path) -> None:
    """End it without a checkpoint and without notifying its clients."""
    pid = int((directory / "postgres" / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGQUIT)
    await until(lambda: not runs(pid), "PostgreSQL has ended")
