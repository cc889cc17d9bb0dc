"""Two server processes on one PostgreSQL share the lanes, and one of them is killed."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from pathlib import Path
from uuid import UUID

import asyncpg

from angarium.core import ids
from tests.faults.account import account, report
from tests.faults.harness import CYCLES, LONG, client, servers, shared_by, until_delivered
from tests.kit.rate import most_in
from tests.kit.receiver import Receiver, Reply
from tests.kit.schemas import FOUND


async def test_order_holds_over_two_processes_and_a_kill(directory: Path, database_url: str) -> None:
    """What is promised: a sender that waits for each answer, through whichever process, has its messages
    first seen by each endpoint in that order. After a kill some may be seen again."""
    messages = 200 if LONG else 80
    async with Receiver(Reply(delay=0.005)) as receiver, servers(directory) as started:
        left = await started.serve(database_url)
        async with client(left) as api:
            paths = [f"/e{n}" for n in range(6)]
            bodies = [{"url": f"http://127.0.0.1:{receiver.port}{path}", "fifo": True} for path in paths]
            await api.app("one", *bodies)
            sent: dict[str, int] = {}
            for _ in range(CYCLES):
                doomed = await started.serve(database_url)
                await shared_by(database_url, 2)
                both = [left, doomed]
                for n in range(messages):
                    if n == messages // 2:
                        doomed.process.kill()
                    accepted = await api.send("one", {"n": n}, both[n % 2])
                    if accepted is not None:
                        sent[accepted] = len(sent)
                await doomed.kill()
                await until_delivered(api.accepted, receiver, paths=paths)
    result = account(api.accepted, receiver, paths=paths)
    report("order, one of two processes killed", CYCLES, result)
    assert result.lost == 0
    for path in paths:
        first_seen = list(dict.fromkeys(r.header("webhook-id") for r in receiver.requests if r.path == path))
        order = [sent[one] for one in first_seen if one in sent]
        assert order == sorted(order)
        assert len(order) == len(sent)


async def test_a_rate_limit_is_one_limit_over_all_processes(directory: Path, database_url: str) -> None:
    """Also while lanes change hands: a process joins, and one is killed."""
    limit = 50 if LONG else 25
    some = [{"n": n} for n in range(2 * limit)]
    async with Receiver() as receiver, servers(directory) as started:
        first = await started.serve(database_url)
        async with client(first) as api:
            paths = [f"/e{n}" for n in range(4)]
            bodies = [
                {"url": f"http://127.0.0.1:{receiver.port}{path}", "throttleRate": limit} for path in paths
            ]
            await api.app("one", *bodies)
            for _ in range(CYCLES):
                second = asyncio.create_task(started.serve(database_url))
                await api.send_many("one", some)
                api.server = await second
                await api.send_many("one", some)  # however long it took to come, there is work to share
                await shared_by(database_url, 2)
                await api.send_many("one", some)  # and some to be left behind
                await asyncio.sleep(0.5)  # both send for half a second
                await first.kill()
                first = api.server
                seconds = await until_delivered(api.accepted, receiver, paths=paths)
    result = account(api.accepted, receiver, paths=paths)
    assert result.lost == 0
    begun_at = await begun(database_url)
    sent = [most_in(3, times) for times in begun_at.values()]
    came = {path: [r for r in receiver.requests if r.path == path] for path in paths}
    stamped = [most_in(3, [float(r.header("webhook-timestamp") or 0) for r in came[path]]) for path in paths]
    report(
        f"rate limit of {limit}/s, one joins, one is killed", CYCLES, result,
        most_sent_in_one_second=max(most_in(1, times) for times in begun_at.values()),
        most_sent_in_three=max(sent), most_stamped_in_three=max(stamped),
        most_arrived_in_three=max(most_in(3, [r.time for r in came[path]]) for path in paths),
        seconds_after_the_kill=f"{seconds:.1f}",
    )  # fmt: skip
    # Where a lane changes hands two clocks note the times: so a second's worth more is allowed. Two limits
    # instead of one would make six times the limit. When they arrive says less: what waits while this process
    # stands still arrives at once.
    assert max(sent) <= 4 * limit
    assert max(stamped) <= 4 * limit
    assert seconds < 30


async def begun(database_url: str) -> dict[UUID, list[float]]:
    """When the attempts at each endpoint began, by the senders' clocks. (Those of a killed process that
    were not yet recorded are missing.)"""
    connection = await asyncpg.connect(database_url, server_settings=FOUND)
    try:
        rows = await connection.fetch("select endpoint_id, id from attempt where status is not null")
    finally:
        await connection.close()
    found: dict[UUID, list[float]] = defaultdict(list)
    for row in rows:
        found[row["endpoint_id"]].append(ids.created_at(row["id"]))
    return found
