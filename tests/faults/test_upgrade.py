"""A rolling upgrade under load: N, then N beside N+1 on its schema, back to N, then a contract that ends N.

ANGARIUM_TEST_CYCLES makes it long (`make drill`).
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg

from tests.faults.account import account, report
from tests.faults.harness import (
    CYCLES,
    KEY,
    LONG,
    SECRET,
    Server,
    Servers,
    client,
    servers,
    shared_by,
    until_delivered,
)
from tests.kit.patience import PATIENCE, until
from tests.kit.receiver import Receiver, Reply
from tests.kit.release import program, with_more

LOAD = 200 if LONG else 60
PACE = 0.0 if LONG else 0.1  # seconds between the requests of one client
EXPAND = {
    "0002_section.sql": "alter table section.application add column plan text;\n"
    "create index application_plan on section.application (plan) where plan is not null;\n"
}
CONTRACT = {"0003_section.sql": "-- contract: 0.2.0\nalter table section.application drop column plan;\n"}


async def _run(
    release: Sequence[str], database_url: str, *words: str, **variables: str
) -> subprocess.CompletedProcess[bytes]:
    """A command of a release to its end."""
    return await asyncio.to_thread(
        subprocess.run,
        [*release, *words],
        env={
            "ANGARIUM_DATABASE_URL": database_url,
            "ANGARIUM_JWT_SECRET": SECRET,
            "ANGARIUM_SECRET_KEY": KEY,
            "PYTHONPATH": os.pathsep.join(sys.path),
            **variables,
        },
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )


def _logged(server: Server, event: str) -> list[dict[str, Any]]:
    lines = [line for line in server.log.read_text().splitlines() if line.startswith("{")]
    return [found for line in lines if (found := json.loads(line))["event"] == event]


async def _until_it_gave_way(database_url: str, locked: asyncio.Event) -> None:
    """Another session's transaction has read a table that the migration changes, and ends only when the
    migration has waited for it in vain."""
    other = await asyncpg.connect(database_url)
    watch = await asyncpg.connect(database_url)

    async def waits() -> bool:
        return bool(
            await watch.fetchval(
                "select exists (select from pg_stat_activity where application_name like '% migrate'"
                " and wait_event_type = 'Lock' and datname = current_database())"
            )
        )

    async def gave_way() -> bool:
        return not await waits()

    try:
        async with other.transaction():
            await other.execute("select from angarium_1.application limit 1")
            locked.set()
            await until(waits, "the migration waits for a lock")
            await until(gave_way, "the migration gives way")
    finally:
        await other.close()
        await watch.close()


async def test_releases_run_side_by_side_and_an_older_one_is_refused_once_the_floor_has_risen(
    directory: Path, database_url: str
) -> None:
    old = program("0.1.0", with_more(directory / "old", {}))
    new = program("0.2.0", with_more(directory / "new", EXPAND))
    next_one = program("0.3.0", with_more(directory / "next", EXPAND | CONTRACT))

    async def start(started: Servers, release: Sequence[str], *words: str, **variables: str) -> Server:
        return await started.serve(database_url, *words, program=release, **variables)

    async with Receiver(Reply(delay=0.02)) as receiver, servers(directory) as started:
        first, second = await asyncio.gather(start(started, old), start(started, old))
        async with client(first) as api:
            await api.app("one", receiver.url)
            await shared_by(database_url, 2)
            over: list[Server | None] = [first, second]

            async def under_load(work: Any) -> Any:
                """Do something while messages are accepted."""
                loading = asyncio.create_task(
                    api.load("one", LOAD * CYCLES, clients=8, pace=PACE, over=list(over))
                )
                result = await work
                await asyncio.wait_for(loading, PATIENCE * CYCLES)
                return result

            locked = asyncio.Event()
            holding = asyncio.create_task(_until_it_gave_way(database_url, locked))
            await locked.wait()
            migrated = await under_load(_run(new, database_url, "migrate"))
            assert migrated.returncode == 0, migrated.stderr
            assert b"migration.waiting" in migrated.stderr
            assert b"applied 0002" in migrated.stdout
            await holding

            # N+1 takes the place of one N, beside the other
            third = await start(started, new)
            over[:] = [second, third]
            api.server = second
            assert await under_load(first.terminate()) == 0
            await shared_by(database_url, 2)

            # and back: N on the schema of N+1, with a setting that only N+1 knows
            newer = {"ANGARIUM_OF_A_NEWER_RELEASE": "1"}
            refused = await _run(old, database_url, "serve", **newer)
            assert refused.returncode == 1
            assert b"ANGARIUM_OF_A_NEWER_RELEASE is not a setting" in refused.stderr
            fourth = await start(started, old, **newer, ANGARIUM_IGNORE_UNKNOWN="1")
            assert _logged(fourth, "settings.ignored")[0]["names"] == ["ANGARIUM_OF_A_NEWER_RELEASE"]
            over[:] = [third, fourth]
            api.server = fourth
            assert await under_load(second.terminate()) == 0

            # a contract waits until no N is connected
            contract = await _run(next_one, database_url, "migrate")
            assert contract.returncode == 1
            assert b"sessions of these are connected: 0.1.0" in contract.stderr

            # one that has not noticed yet, as if it had reconnected later, stops by itself
            over[:] = [third]
            api.server = third
            owner = await asyncpg.connect(database_url)
            await owner.execute("update angarium.installation set oldest_release = '0.2.0'")
            await owner.close()
            ended = await under_load(asyncio.to_thread(fourth.process.wait, PATIENCE))
            assert ended == 1
            assert "needs 0.2.0 or newer" in _logged(fourth, "process.refused")[0]["reason"]
            contract = await _run(next_one, database_url, "migrate")
            assert contract.returncode == 0, contract.stderr
            again = await _run(old, database_url, "serve")
            assert again.returncode == 1
            assert b"this is Angarium 0.1.0, and the database needs 0.2.0 or newer" in again.stderr
            await until(lambda: third.process.poll() is None, "N+1 runs on")
            seconds = await until_delivered(api.accepted, receiver)
            result = account(api.accepted, receiver)
            assert not api.refused, api.refused
    report("a rolling upgrade, back, and on", CYCLES, result, seconds_after_the_load=f"{seconds:.1f}")
    assert result.lost == 0
    assert result.duplicates == 0
