"""The process between a supervisor and its children."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path

import psutil

from tests.faults.harness import NOBODY, Client, client, servers
from tests.kit.patience import SLOW, until
from tests.kit.process import family, runs, workers


def between(supervisor: int) -> psutil.Process:
    """The process that forks the children."""
    (found,) = {one.parent() for one in workers(supervisor)}
    assert found is not None
    assert found.ppid() == supervisor
    return found


async def test_children_share_code_and_survive_signals_to_the_process_between_and_follow_its_end(
    directory: Path, database_url: str
) -> None:
    async with servers(directory) as started:
        server = await started.serve(database_url, "--processes", "2", "--role", "api")
        await until(lambda: len(server.workers()) == 2, "both are there", pause=SLOW)
        children = server.workers()
        for one in children:
            memory = one.memory_full_info()
            assert memory.pss < memory.rss * 0.75, "pages are shared"
        forks = between(server.process.pid)
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            forks.send_signal(number)
        async with client(server) as api:
            assert (await api.call("GET", "/app"))[0] == 200
        assert runs(forks.pid)
        assert server.workers() == children

        forks.kill()
        await until(lambda: not any(runs(one.pid) for one in children), "the children stop", pause=SLOW)
        await until(lambda: len(server.workers()) == 2, "others are started", pause=SLOW)
        async with client(server) as api:
            await until(lambda: _answers(api), "it responds", pause=SLOW)
        everything = family(server.process.pid)
        assert await server.terminate() == 0
        await until(lambda: not any(runs(one.pid) for one in everything), "nothing is left")


async def _answers(api: Client) -> bool:
    with contextlib.suppress(*NOBODY):
        return (await api.call("GET", "/app"))[0] == 200
    return False
