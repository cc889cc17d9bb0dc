"""PostgreSQL crashes and comes back while messages come in."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from angarium.store.embedded import EmbeddedPostgres
from angarium.store.migrate import migrate
from tests.faults.account import account, report
from tests.faults.harness import CYCLES, Server, client, servers, until_delivered
from tests.kit.patience import PATIENCE, until
from tests.kit.process import runs
from tests.kit.receiver import Receiver, Reply


async def crash(postgres: EmbeddedPostgres) -> None:
    """End PostgreSQL at once, without a checkpoint; its directory is free afterwards."""
    os.kill(postgres.pid, signal.SIGQUIT)
    await until(lambda: not runs(postgres.pid), "PostgreSQL has ended")
    postgres._lock.release()


async def test_a_crash_of_postgresql_is_answered_503_and_loses_no_accepted_message(directory: Path) -> None:
    postgres = await EmbeddedPostgres.start(directory / "own")
    try:
        url = postgres.url()
        await migrate(url)
        async with Receiver(Reply(delay=0.01)) as receiver, servers(directory) as started:
            server = await started.serve(url)
            async with client(server) as api:
                await api.app("one", receiver.url)
                slowest = 0.0
                for _ in range(CYCLES):
                    goal = len(api.accepted) + 600
                    loading = asyncio.create_task(api.load("one", 600))
                    await api.until_accepted(goal - 400)
                    await crash(postgres)
                    assert await api.send("one", {"while": "it is down"}) is None
                    await _says_503(server, api.session)
                    await asyncio.sleep(1)  # so that outcomes and lanes run into it too
                    postgres = await EmbeddedPostgres.start(directory / "own")
                    assert postgres.url() == url
                    again = await until(lambda: api.send("one", {"up": "again"}), "it accepts again")
                    slowest = max(slowest, again)
                    await asyncio.wait_for(loading, PATIENCE)
                seconds = await until_delivered(api.accepted, receiver)
                result = account(api.accepted, receiver)
                refused = dict(api.refused)
            assert server.process.poll() is None
            assert await server.terminate() == 0
    finally:
        await postgres.stop()
    report(
        "PostgreSQL crashes under load", CYCLES, result, refused=refused,
        accepts_again_after=f"{slowest:.1f} s", seconds_after_the_load=f"{seconds:.1f}",
    )  # fmt: skip
    assert result.lost == 0
    assert set(refused) == {"503"}, "every caller got a response, which says to try again"


async def _says_503(server: Server, session: object) -> None:
    import aiohttp

    assert isinstance(session, aiohttp.ClientSession)
    body = {"eventType": "a.b", "payload": {}}
    headers = {"authorization": f"Bearer {server.token}"}
    for path in ("/app/one/msg", "/app"):
        async with session.post(f"{server.url}/api/v1{path}", json=body, headers=headers) as answer:
            if path == "/app/one/msg":
                assert answer.status == 503, await answer.text()
                assert int(answer.headers["retry-after"]) >= 1
    async with session.get(f"{server.url}/api/v1/health") as answer:
        assert answer.status == 503
    async with session.get(f"{server.url}/api/v1/app", headers=headers) as answer:
        assert answer.status == 503
        assert int(answer.headers["retry-after"]) >= 1
