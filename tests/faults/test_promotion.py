"""Failover by hand over a URL with two hosts: a primary that is killed, and one that is demoted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from angarium.store.migrate import migrate
from tests.faults.account import account, report
from tests.faults.harness import LONG, Client, Server, client, servers, until_delivered
from tests.faults.replicated import Replicated
from tests.kit.patience import PATIENCE, until
from tests.kit.receiver import Receiver, Reply

IN_FLIGHT = 16
LOAD = 400 if LONG else 160
VARIABLES = {"ANGARIUM_ENDPOINT_CONCURRENCY": str(IN_FLIGHT)}


@pytest.fixture
async def pair() -> AsyncIterator[Replicated]:
    async with Replicated() as made:
        await migrate(made.first.url)
        yield made


async def health(api: Client) -> tuple[int, str]:
    async with api.session.get(f"{api.server.url}/api/v1/health") as answer:
        return answer.status, (await answer.json())["database"].get("reason", "ok")


async def well(api: Client) -> bool:
    return await health(api) == (200, "ok")


def tries(server: Server) -> int:
    """How often it could not write results, or was given no shards."""
    log = server.log.read_text()
    return log.count("complete.waiting") + log.count("shards.unavailable")


async def retry_after(api: Client) -> int:
    """The response to a sender while nothing can be stored: 503, and when to try again."""
    headers = {"authorization": f"Bearer {api.server.token}"}
    body = {"eventType": "a.b", "payload": {}}
    async with api.session.post(f"{api.server.url}/api/v1/app/one/msg", json=body, headers=headers) as answer:
        assert answer.status == 503, await answer.text()
        return int(answer.headers["retry-after"])


Fault = Callable[[Client, Receiver], Awaitable[None]]


async def fail_over(pair: Replicated, words: str, fault: Fault) -> None:
    """Under load: after the fault no server accepts writes, until the standby is promoted."""
    async with Receiver(Reply(delay=0.02)) as receiver, servers(pair.directory) as started:
        server = await started.serve(pair.url, **VARIABLES)
        async with client(server) as api:
            await api.app("one", receiver.url)
            loading = asyncio.create_task(api.load("one", LOAD))
            await api.until_accepted(LOAD // 4)
            await fault(api, receiver)
            await pair.second.promote()
            again = await until(lambda: api.send("one", {"up": "again"}), "it accepts again")
            await asyncio.wait_for(loading, PATIENCE)
            await until_delivered(api.accepted, receiver)
            result = account(api.accepted, receiver)
            # a connection to the former primary is in use for some seconds after
            await until(lambda: well(api), "health says that it is well")
        assert await server.terminate() == 0
    report(words, 1, result, refused=dict(api.refused), accepts_again_after=f"{again:.1f} s")
    assert result.lost == 0
    assert result.duplicates <= IN_FLIGHT
    assert set(api.refused) == {"503"}


async def test_a_primary_is_killed_and_its_standby_is_promoted(pair: Replicated) -> None:
    async def killed(api: Client, receiver: Receiver) -> None:
        pair.first.kill()
        assert await api.send("one", {"while": "nobody is there"}) is None
        assert await retry_after(api) >= 1

    await fail_over(pair, "primary killed, standby promoted by hand", killed)


async def test_a_primary_is_demoted_while_the_server_runs(pair: Replicated) -> None:
    """It returns as a standby, so at first no server accepts writes; then the other one does."""

    async def demoted(api: Client, receiver: Receiver) -> None:
        await pair.first.stop()
        await pair.first.follow(pair.second)
        await pair.first.start()

        async def told() -> bool:
            return await health(api) == (503, "read-only")

        await until(told, "health says why")
        assert await retry_after(api) >= 1
        status, listed = await api.call("GET", "/app/one/endpoint")
        assert (status, len(listed["data"])) == (200, 1), "what is read is there"
        begun = receiver.count
        goal = tries(api.server) + 5
        await until(lambda: tries(api.server) >= goal, "it tries again and again")
        assert receiver.count <= begun + IN_FLIGHT, "and sends no more than was in flight"

    await fail_over(pair, "primary demoted, standby promoted by hand", demoted)
