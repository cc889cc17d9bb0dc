"""A customer leaves: the server is killed while it exports and while it erases the application."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg

from angarium.core import ids
from angarium.store.database import Database
from angarium.store.erase import MESSAGES
from tests.faults.harness import CYCLES, LONG, NOBODY, Client, Server, client, recorded, servers
from tests.kit.command import Done, run
from tests.kit.patience import SLOW, until
from tests.kit.receiver import Receiver
from tests.kit.schemas import FOUND
from tests.service.test_erasure import LOG, rows_with

SLICES = 2 * CYCLES if LONG else 1
REST = MESSAGES // 4
SENT = SLICES * MESSAGES + REST  # the last slice is smaller than the others
NEIGHBOR = 10
BLOCKED = "select exists (select from pg_stat_activity where $1 = any(pg_blocking_pids(pid)))"
BACKENDS = (
    "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    " and backend_type = 'client backend'"
)
PROOF = "select action, after from audit where app_id = $1 and action like 'application.%erase%' order by id"
LEFT = (
    "select (select count(*) from message where app_id = $1), (select count(*) from payload),"
    " (select count(*) from attempt where app_id = $1),"
    " (select count(*) from endpoint where app_id = $1), (select count(*) from application where id = $1)"
)


@contextlib.asynccontextmanager
async def database_of(url: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(url, server_settings=FOUND)
    try:
        yield connection
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def killed_at(url: str, server: Server, lock: str, *args: Any) -> AsyncIterator[None]:
    """Whatever needs what is locked is stopped there: the server is killed in the middle of it."""
    async with database_of(url) as holder, database_of(url) as watch:
        async with holder.transaction():
            await (holder.fetch(lock, *args) if args else holder.execute(lock))
            yield
            blocked = await watch.fetchval("select $1::integer", holder.get_server_pid())
            await until(lambda: watch.fetchval(BLOCKED, blocked), f"the server waits for: {lock}")
            await server.kill()
        await holder.close()

        async def alone() -> bool:
            return bool(await watch.fetchval(BACKENDS) == 0)

        await until(alone, "PostgreSQL has undone what was not committed")


async def furnished(api: Client, receiver: Receiver, url: str) -> Any:
    """Two applications with messages that were delivered; the id of the one that leaves."""
    _, made = await api.call("POST", "/app", {"name": "Leaving", "uid": "leaving"})
    await api.call("POST", "/app/leaving/endpoint", {"url": receiver.url})
    await api.app("staying", receiver.url)
    await api.send_many("leaving", [{"n": n} for n in range(SENT)])
    await api.send_many("staying", [{"n": n} for n in range(NEIGHBOR)])

    async def all_of_them() -> bool:
        return await recorded(url) == SENT + NEIGHBOR

    await until(all_of_them, "all is delivered", pause=SLOW)
    return ids.parse(ids.APPLICATION, made["id"])


async def test_an_erasure_whose_server_is_killed_is_whole_in_the_end_and_recorded_once(
    directory: Path, database_url: str
) -> None:
    async with Receiver() as receiver, servers(directory) as started, database_of(database_url) as database:
        server = await started.serve(database_url)
        async with client(server) as api:
            app_id = await furnished(api, receiver, database_url)
            newest = await database.fetchval(
                "select max(id::text)::uuid from message where app_id = $1", app_id
            )
            whole = await database.fetchrow(LEFT, app_id)
            await database.close()

            # in the request: it is undone, and the application lives
            asked = None
            async with killed_at(database_url, server, "lock table audit in share mode"):
                asked = asyncio.create_task(api.call("POST", "/app/leaving/erase"))
            with contextlib.suppress(*NOBODY):
                raise AssertionError(await asked)
            async with database_of(database_url) as database:
                assert await database.fetchrow(LEFT, app_id) == whole
                assert await database.fetch(PROOF, app_id) == []
            server = api.server = await started.serve(database_url)
            assert (await api.call("GET", "/app/leaving"))[0] == 200
            assert (await api.call("GET", "/app/leaving/msg"))[1]["data"]

            # in a slice: the slices before it stay, and it is undone
            lock = "select from message where id = $1 for update"
            async with killed_at(database_url, server, lock, newest):
                status, task = await api.call("POST", "/app/leaving/erase")
                assert status == 202
                again = await api.call("POST", f"/app/{ids.text(ids.APPLICATION, app_id)}/erase")
                assert (again[0], again[1]["id"]) == (202, task["id"])
            async with database_of(database_url) as database:
                left = await database.fetchrow(LEFT, app_id)
                assert tuple(left) == (REST, REST + NEIGHBOR, REST, 1, 1)

            # at the end: neither the application nor the proof without the other
            async with killed_at(
                database_url,
                server := await started.serve(database_url),
                "select from application where id = $1 for update",
                app_id,
            ):
                api.server = server
                assert (await api.call("GET", "/app/leaving"))[0] == 404
            async with database_of(database_url) as database:
                assert tuple(await database.fetchrow(LEFT, app_id)) == (0, NEIGHBOR, 0, 1, 1)
                assert [row["action"] for row in await database.fetch(PROOF, app_id)] == [
                    "application.erase.begun"
                ]

            api.server = await started.serve(database_url)

            async def finished() -> bool:
                return bool(
                    (await api.call("GET", f"/background-task/{task['id']}"))[1]["status"] == "finished"
                )

            await until(finished, "the erasure has ended")
            assert (await api.call("GET", "/app/leaving"))[0] == 404
            assert len((await api.call("GET", "/app/staying/msg"))[1]["data"]) == NEIGHBOR
    reading = await Database.connect(database_url)
    try:
        found = await rows_with(reading, str(app_id), ids.text(ids.APPLICATION, app_id))
    finally:
        await reading.close()
    assert found.keys() <= LOG
    async with database_of(database_url) as database:
        assert tuple(await database.fetchrow(LEFT, app_id)) == (0, NEIGHBOR, 0, 0, 0)
        begun, proof = await database.fetch(PROOF, app_id)
    assert (begun["action"], proof["action"]) == ("application.erase.begun", "application.erased")
    said = json.loads(proof["after"])
    counted = {table: said["rows"][table] for table in ("message", "payload", "attempt", "endpoint")}
    assert counted == {"message": SENT, "payload": SENT, "attempt": SENT, "endpoint": 1}
    assert said["left"] == 0


async def test_an_export_whose_server_is_killed_says_so_and_is_written_whole_by_the_next(
    directory: Path, database_url: str, tmp_path: Path
) -> None:
    out = tmp_path / "leaving"

    async def export(server: Server) -> Done:
        variables = {"ANGARIUM_URL": server.url, "ANGARIUM_TOKEN": server.token}
        return await asyncio.to_thread(
            run, "application", "export", "leaving", "--out", str(out), **variables
        )

    async with Receiver() as receiver, servers(directory) as started:
        server = await started.serve(database_url)
        async with client(server) as api:
            await furnished(api, receiver, database_url)
            async with killed_at(database_url, server, "lock table attempt in access exclusive mode"):
                exporting = asyncio.create_task(export(server))
            done = await exporting
            assert done.returncode == 3, done.stderr
            assert "does not answer" in done.stderr
            assert (out / "message.jsonl").stat().st_size
            assert not (out / "manifest.json").exists()

            api.server = await started.serve(database_url)
            done = await export(api.server)
            assert done.returncode == 0, done.stderr
            manifest = json.loads((out / "manifest.json").read_text())
            assert {one["name"]: one["records"] for one in manifest["files"]}["attempt.jsonl"] == SENT
            for one in manifest["files"]:
                written = (out / one["name"]).read_bytes()
                assert hashlib.sha256(written).hexdigest() == one["sha256"]
                assert written.count(b"\n") == one["records"]
            records = (await api.call("GET", "/audit?action=application.exported"))[1]["data"]
            recorded_files = {one.pop("name"): one for one in manifest["files"]}
            assert [one["after"]["files"] for one in records] == [recorded_files]
