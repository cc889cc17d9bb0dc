"""Recover, a background task, with a kill -9 in its middle."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from tests.faults.account import Account, message_id, report
from tests.faults.harness import CYCLES, Client, client, servers
from tests.kit.patience import SLOW, until
from tests.kit.receiver import Received, Receiver, Reply

MESSAGES = 1600
INCOMPLETE = 512


async def stats(api: Client, endpoint: str) -> dict[str, int]:
    status, answer = await api.call("GET", f"/app/one/endpoint/{endpoint}/stats")
    assert status == 200, answer
    found: dict[str, int] = answer
    return found


async def test_recover_continues_after_a_kill_and_sends_only_failed_deliveries(
    directory: Path, database_url: str
) -> None:
    """One message in eight is delivered at once and must not come again; the others get one attempt more."""
    failing = True

    def answer(request: Received) -> Reply:
        n = msgspec.json.decode(request.body)["n"]
        return Reply(500 if failing and n % 8 else 200)

    async with Receiver(answer) as receiver, servers(directory) as started:
        variables = {"ANGARIUM_RETRY_SCHEDULE": ""}  # a single attempt
        server = await started.serve(database_url, **variables)
        async with client(server) as api:
            (endpoint,) = await api.app("one", receiver.url)
            since = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()
            kills = 0
            accepted = await api.send_many("one", [{"n": n} for n in range(MESSAGES)])
            sent = {one: n for n, one in enumerate(accepted)}
            await receiver.wait_for(MESSAGES)

            async def all_completed() -> bool:
                return (await stats(api, endpoint))["pending"] == 0

            await until(all_completed, "all have failed or are delivered", pause=SLOW)
            failing = False
            status, task = await api.call("POST", f"/app/one/endpoint/{endpoint}/recover", {"since": since})
            assert status == 202, task
            told = []
            for cycle in range(CYCLES):
                await receiver.wait_for(MESSAGES + 50 * (cycle + 1))
                await server.kill()
                kills += 1
                server = api.server = await started.serve(database_url, **variables)
                told.append((await api.call("GET", f"/background-task/{task['id']}"))[1])

            async def finished() -> bool:
                _, now = await api.call("GET", f"/background-task/{task['id']}")
                assert now["status"] != "failed", now
                return bool(now["status"] == "finished")

            await until(finished, "the task has finished", pause=SLOW)
            owed = MESSAGES - len(range(0, MESSAGES, 8))

            def again() -> bool:
                counts = Counter(message_id(request) for request in receiver.requests)
                return sum(1 for one, n in sent.items() if n % 8 and counts[one] >= 2) == owed

            await until(again, "what had failed has arrived", pause=SLOW)
            await until(all_completed, "all is completed")
            _, task = await api.call("GET", f"/background-task/{task['id']}")
    counts = Counter(message_id(request) for request in receiver.requests)
    more = sum(count - 2 for one, count in counts.items() if sent[one] % 8)
    lost = sum(1 for one, n in sent.items() if n % 8 and counts[one] < 2)
    report(
        "kill -9 in the middle of a recover", kills, Account(owed, owed - lost, more, lost),
        task_at_the_kill=f"{told[0]['status']} {told[0]['data']}", task_at_the_end=task["data"],
    )  # fmt: skip
    assert lost == 0
    assert all(counts[one] == 1 for one, n in sent.items() if n % 8 == 0)
    assert more <= INCOMPLETE * kills
    assert task["data"]["messagesSent"] == owed
