"""More than the machine can take: it says so before memory grows, keeps what it took, and recovers."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg

from tests.faults.account import Account, account, report
from tests.faults.harness import Server, client, servers, until_delivered
from tests.kit.patience import PATIENCE, until
from tests.kit.receiver import Receiver
from tests.kit.schemas import FOUND

BATCHES = 48
BATCH = 500  # messages; what the batches hold together is more than twice what may wait
LARGE = 150
LARGE_BODY = 1_900_000  # bytes; together four times what may wait


class Flood:
    """Requests at once, and what became of them."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.answers: Counter[int] = Counter()
        self.retry_after: list[int] = []
        self.accepted: set[str] = set()
        self.most = 0.0  # MB resident

    async def post(self, session: aiohttp.ClientSession, path: str, body: bytes) -> None:
        headers = {"authorization": f"Bearer {self.server.token}", "content-type": "application/json"}
        url = f"{self.server.url}/api/v1/app/one{path}"
        async with session.post(url, data=io.BytesIO(body), headers=headers) as answer:
            self.answers[answer.status] += 1
            if answer.status == 202:
                found = await answer.json()
                self.accepted.update(one["id"] for one in found.get("results", [found]))
            else:
                self.retry_after.append(int(answer.headers["retry-after"]))

    async def watch(self) -> None:
        while True:
            self.most = max(self.most, self.server.resident())
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def standstill(url: str) -> Any:
    """Nothing can be stored meanwhile, so that whatever comes in waits."""
    connection = await asyncpg.connect(url, server_settings=FOUND)
    try:
        async with connection.transaction():
            await connection.execute("lock table message in access exclusive mode")
            yield
    finally:
        await connection.close()


async def flooded(url: str, flood: Flood, path: str, bodies: list[bytes], waiting: int) -> None:
    """All bodies at once while nothing can be stored; until `waiting` of them are answered with a refusal."""
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        watching = asyncio.create_task(flood.watch())
        try:
            async with asyncio.TaskGroup() as group, standstill(url):
                for body in bodies:
                    group.create_task(flood.post(session, path, body))
                await until(lambda: flood.answers.total() >= waiting, "what cannot wait is refused")
                assert set(flood.answers) <= {429, 503}, flood.answers
        finally:
            watching.cancel()


async def test_a_flood_is_refused_before_memory_grows_and_accepted_messages_are_kept(
    directory: Path, database_url: str
) -> None:
    async with Receiver(keep=True) as receiver, servers(directory) as started:
        server = await started.serve(database_url)
        async with client(server) as api:
            await api.app("one", receiver.url)
            await api.load("one", 50)
            empty = server.resident()
            flood = Flood(server)
            one = {"eventType": "fault.made", "payload": {"text": "x" * 200}}
            batch = json.dumps({"messages": [one] * BATCH}).encode()
            await flooded(database_url, flood, "/msg/batch", [batch] * BATCHES, BATCHES // 3)
            grown = flood.most - empty
            api.accepted |= flood.accepted
            assert await api.send("one", {"after": "the flood"}) is not None, "it did not recover"
            await until_delivered(api.accepted, receiver)
            result = account(api.accepted, receiver)
    report(
        "a flood of messages", 1, result, answers=dict(flood.answers), memory_grown=f"{grown:.0f} MB at most"
    )
    assert result.lost == 0
    assert result.duplicates == 0
    assert flood.answers[202] > 0
    assert min(flood.retry_after) >= 1
    assert grown < 150


async def test_a_flood_of_large_bodies_is_refused_before_memory_grows(
    directory: Path, database_url: str
) -> None:
    async with Receiver(keep=False) as receiver, servers(directory) as started:
        server = await started.serve(database_url)
        async with client(server) as api:
            await api.app("one", receiver.url)
            await api.load("one", 50)
            empty = server.resident()
            flood = Flood(server)
            body = json.dumps({"eventType": "fault.made", "payload": {"text": "x" * LARGE_BODY}}).encode()
            await flooded(database_url, flood, "/msg", [body] * LARGE, LARGE // 2)
            grown = flood.most - empty
            assert await api.send("one", {"after": "the flood"}) is not None, "it did not recover"
            taken = len(flood.accepted) + len(api.accepted)
            await until(lambda: receiver.count >= taken, "what was taken is delivered")
            count = receiver.count
    report(
        "a flood of bodies of 1.9 MB", 1, Account(taken, count, count - taken, 0),
        answers=dict(flood.answers), memory_grown=f"{grown:.0f} MB at most",
    )  # fmt: skip
    assert flood.answers[202] > 0
    assert min(flood.retry_after) >= 1
    assert grown < 250
