"""The hard limit of messages in a server of two processes, under load. `make chaos` runs it.

It is enforced about a second after it is reached. The test measures that, so a machine that is busy with
other tests would fail it. tests/service/test_usage.py tests the same in virtual time.
"""

from __future__ import annotations

import asyncio
import time

import aiohttp

from tests.cli.test_serve import healthy, serve, token
from tests.kit.patience import PATIENCE

LIMIT = 50
SENDERS = 6  # connections, which the kernel shares among the processes
LATE = 10.0  # seconds; it takes about one
MESSAGE = {"eventType": "order.filled", "payload": {}}


async def test_two_processes_refuse_messages_soon_after_the_limit_and_count_exactly(
    database_url: str,
) -> None:
    accepted: list[float] = []
    headers = {"authorization": f"Bearer {token()}"}

    async def send(url: str) -> None:
        """Until it is refused."""
        async with aiohttp.ClientSession(f"{url}/api/v1/", headers=headers) as session:
            while True:
                async with session.post("app/a/msg", json=MESSAGE) as answer:
                    if answer.status == 429:
                        assert (await answer.json())["code"] == "message_limit_reached"
                        return
                    assert answer.status == 202, await answer.text()
                    accepted.append(time.monotonic())

    async with (
        serve(database_url, "--processes", "2", ANGARIUM_MESSAGE_LIMIT=str(LIMIT)) as (_, url),
        aiohttp.ClientSession(f"{url}/api/v1/", headers=headers) as operator,
    ):
        await healthy(url)
        async with operator.post("app", json={"name": "a", "uid": "a"}) as answer:
            assert answer.status == 201
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(send(url) for _ in range(SENDERS)))
        before = len(accepted)
        await asyncio.gather(*(send(url) for _ in range(SENDERS)))
        assert len(accepted) == before, "once refused, refused by both"
        async with operator.get("app/a/quota") as answer:
            used = (await answer.json())["messages"]["used"]
    assert used == before >= LIMIT
    late = accepted[-1] - accepted[LIMIT - 1]
    assert late < LATE, f"{used - LIMIT} messages above the limit"
