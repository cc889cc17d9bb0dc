"""A restore to an earlier time, with a base backup and archived WAL, and the four commands that follow it.

ANGARIUM_TEST_CYCLES makes the load larger, and does it with pgBackRest, too (`make drill`).
"""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import shutil
import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from angarium.cli.credential import make_token
from angarium.settings import Settings
from angarium.store.fault import RAISED
from angarium.store.migrate import migrate
from tests.faults.account import Account, message_id, report
from tests.faults.harness import (
    CYCLES,
    KEY,
    LONG,
    ORG,
    SECRET,
    Client,
    Server,
    client,
    recorded,
    servers,
    shared_by,
)
from tests.faults.replicated import DATABASE, Node, own
from tests.kit.command import run
from tests.kit.debian import POSTGRESQL_15, ensure
from tests.kit.patience import until
from tests.kit.port import free_port
from tests.kit.receiver import Held, Receiver, Reply

SETTLED = 100 * CYCLES  # messages that are delivered before the time of the restore
IN_FLIGHT = 20  # accepted before it, answered after it
LATER = 50 * CYCLES  # accepted after it
UNPROVEN = 8  # of those in flight, as if the log had lost their lines
PACE = 4


class Archive:
    """A PostgreSQL that archives its WAL, and another that is restored from a base backup and the archive."""

    def __init__(self) -> None:
        self.directory = directory = Path(tempfile.mkdtemp(prefix="angarium-restore-"))
        own(directory)
        self.wal = directory / "wal"
        self.first, self.second = Node(directory, "first"), Node(directory, "second")

    @property
    def archive_command(self) -> str:
        # renamed once it is complete: a server that is killed meanwhile must leave no part of a file
        return f"cp %p {self.wal}/%f.part && mv {self.wal}/%f.part {self.wal}/%f"

    async def start(self) -> None:
        await asyncio.to_thread(ensure, str(POSTGRESQL_15 / "postgres"))
        self.wal.mkdir()
        own(self.wal)
        await self.first.run("initdb", "-D", self.first.data, "-U", "postgres", "-A", "trust", "--no-sync")
        self._configure(self.first, f"archive_mode = on\narchive_command = '{self.archive_command}'\n")
        await self.first.start()
        await self.first.execute(f"create database {DATABASE}")
        await migrate(self.first.url)

    async def back_up(self) -> None:
        await self.first.run(
            "pg_basebackup", "-h", "127.0.0.1", "-p", str(self.first.port), "-U", "postgres",
            "-D", self.second.data, "--checkpoint=fast", "--no-sync",
        )  # fmt: skip

    async def lose(self) -> None:
        """Archive what there is, then lose the server."""
        last = await self.first.execute("select pg_walfile_name(pg_switch_wal())")

        async def archived() -> bool:
            query = f"select last_archived_wal >= '{last}' from pg_stat_archiver"
            return bool(await self.first.execute(query))

        await until(archived, "the last WAL is archived")
        self.first.kill()

    async def recover(self, at: str) -> None:
        """Bring the data directory to the state of a time, or prepare it so that a start does."""
        self._configure(
            self.second,
            f"archive_mode = off\nrestore_command = 'cp {self.wal}/%f %p'\nrecovery_target_time = '{at}'\n"
            "recovery_target_action = promote\n",
        )
        (self.second.data / "recovery.signal").touch()
        own(self.second.data / "recovery.signal")

    async def restore(self, at: str) -> None:
        await self.recover(at)
        await self.second.start()

        async def promoted() -> bool:
            return await self.second.answers() and not await self.second.execute("select pg_is_in_recovery()")

        await until(promoted, "the restored server accepts writes")

    def stop(self) -> None:
        for node in (self.first, self.second):
            if node._process is not None:
                node.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _configure(self, node: Node, text: str) -> None:
        with (node.data / "postgresql.auto.conf").open("a") as file:
            file.write(text)


class PgBackRest(Archive):
    """The same with pgBackRest: a repository in a directory, and a restore in place of the lost data, by the
    settings and commands of docs/restoring.md."""

    def __init__(self) -> None:
        super().__init__()
        self.first = Node(self.directory, "first", unix_socket_directories=str(self.directory))
        self.second.data = self.first.data
        self.file = self.directory / "pgbackrest.conf"

    @property
    def archive_command(self) -> str:
        return f"pgbackrest --config={self.file} {PUSH}"

    async def start(self) -> None:
        await asyncio.to_thread(ensure, "pgbackrest")
        places = {
            "/var/lib/postgresql/15/main": str(self.first.data),
            "/var/lib/pgbackrest": str(self.directory / "repository"),
            "/var/run/postgresql": str(self.directory),
        }
        text = CONFIGURATION
        for documented, place in places.items():
            text = text.replace(documented, place)
        more = f"[angarium]\npg1-port={self.first.port}\npg1-user=postgres"
        for kind in ("lock", "spool"):
            text += f"{kind}-path={self.directory}/{kind}\n"
        text = text.replace("[angarium]", more) + "log-level-file=off\n"
        self.file.write_text(text)
        own(self.file)
        await super().start()
        await self._run(CREATE)
        await self._run(CHECK)

    async def back_up(self) -> None:
        await self._run(BACK_UP)

    async def recover(self, at: str) -> None:
        shutil.rmtree(self.first.data)
        self.first.data.mkdir(mode=0o700)
        own(self.first.data)
        await self._run(RESTORE, at)

    async def _run(self, command: str, at: str = "") -> None:
        """A command as it is documented, with the file of the settings and another time."""
        program, *words = shlex.split(command.replace(TIME, at))
        place = await asyncio.to_thread(ensure, program)
        await self.first.run(str(place), f"--config={self.file}", *words)


PAGE = (Path(__file__).parents[2] / "docs/restoring.md").read_text()
TIME = "2026-11-29 08:00:00+00"
(CONFIGURATION,) = re.findall(r"```ini\n(\[angarium\].*?)```", PAGE, re.DOTALL)
CREATE, CHECK, BACK_UP, RESTORE = re.findall(r"^\$ sudo -u postgres (pgbackrest .*)$", PAGE, re.MULTILINE)
(PUSH,) = re.findall(r"^archive_command = 'pgbackrest (.*)'$", PAGE, re.MULTILINE)
ARCHIVES: dict[str, type[Archive]] = {"pg_basebackup": Archive} | ({"pgbackrest": PgBackRest} if LONG else {})


async def _restore(url: str, *words: str, code: int = 0) -> str:
    """A command, with its output."""
    variables = {
        "ANGARIUM_DATABASE_URL": url,
        "ANGARIUM_JWT_SECRET": SECRET,
        "ANGARIUM_SECRET_KEY": KEY,
        "ANGARIUM_HTTPS_ONLY": "false",
    }
    done = await asyncio.to_thread(run, *words, **variables)
    assert done.returncode == code, f"{words}: {done.returncode} {done.stderr}"
    return done.stderr if code else done.stdout


def _came(receiver: Receiver, since: int = 0) -> Counter[tuple[str, str]]:
    return Counter((request.path, message_id(request)) for request in receiver.requests[since:])


async def _send(api: Client, count: int, *, app: str = "one") -> set[str]:
    before = set(api.accepted)
    for number in range(count):
        assert await api.send(app, {"n": number}) is not None
    return api.accepted - before


@pytest.mark.parametrize("tool", ARCHIVES)
async def test_a_restored_database_sends_nothing_that_the_log_proves_and_forgets_no_revocation(
    directory: Path, tool: str
) -> None:
    archive = ARCHIVES[tool]()
    revoked = make_token(Settings.model_validate({"jwt_secret": SECRET}), ORG, lifetime=86400.0)
    try:
        await archive.start()
        async with Receiver(Reply()) as receiver, servers(directory) as started:
            server = await started.serve(archive.first.url, ANGARIUM_LOG_LEVEL="info")
            async with client(server) as api:
                await shared_by(archive.first.url, 1)
                base = receiver.url.removesuffix("/hook")
                _kept, gone = await api.app("one", f"{base}/kept", f"{base}/gone")
                assert await _status(server, revoked) == 200
                await archive.back_up()

                settled = await _send(api, SETTLED)
                await receiver.wait_for(2 * len(settled))
                # until all of them are recorded
                await until(lambda: _owed(archive.first, 0), "nothing is pending")
                held = receiver.default = Held()
                in_flight = await _send(api, IN_FLIGHT)
                await receiver.wait_for(2 * (len(settled) + len(in_flight)))
                at = str(await archive.first.execute("select clock_timestamp()::text"))
                held.release.set()
                receiver.default = Reply()

                later = await _send(api, LATER)
                await receiver.wait_for(2 * (len(settled) + len(in_flight) + len(later)))
                await until(lambda: _owed(archive.first, 0), "nothing is pending")
                await _call(server, "POST", "/auth/credential/revoke", {"token": revoked})
                await _call(server, "DELETE", f"/app/one/endpoint/{gone}")
            exported = await _restore(archive.first.url, "audit", "export")
            assert await server.terminate() == 0
            log = server.log.read_text().splitlines()
            await archive.lose()
            await archive.restore(at)

            # 1: everything is held
            url = archive.second.url
            said = await _restore(url, "restore", "begin", "--at", _wire(at), "--yes", "--json")
            (pending,) = [json.loads(line) for line in said.splitlines()]
            assert pending["uid"] == "one"
            assert pending["due"] == pending["pending"] == 2 * len(in_flight)
            so_far = len(receiver.requests)
            server = await started.serve(url, ANGARIUM_LOG_LEVEL="info")
            assert (await _call(server, "GET", "/health"))[0] == 503
            assert (await _call(server, "POST", "/app/one/msg", {"eventType": "a.b", "payload": {}}))[
                0
            ] == 503
            refused = await _restore(url, "restore", "begin", "--at", _wire(at), "--yes", code=1)
            assert "other processes of Angarium use this database: angarium/" in refused

            # 2: what the log proves; the lines of some are lost, and one is cut
            lost = set(sorted(in_flight)[:UNPROVEN])
            lines = [line for line in log if not any(one in line for one in lost)]
            attempts = directory / "attempts.log"
            attempts.write_text("\n".join(["not JSON at all", *lines]) + "\n")
            said = await _restore(url, "restore", "reconcile", "--attempts", str(attempts), "--json")
            found = json.loads(said)
            assert found["recorded"] == 2 * (len(in_flight) - len(lost))
            assert found["delivered"] == 2 * (len(settled) + len(in_flight) - len(lost) + len(later))
            assert found["malformed"] == 0
            again = await _restore(url, "restore", "reconcile", "--attempts", str(attempts), "--json")
            assert json.loads(again) == found | {"recorded": 0}
            attempts.write_text('{"event":"delivery.attempted","message":"msg_')
            await _restore(url, "restore", "reconcile", "--attempts", str(attempts), code=1)

            # 3: what must not be undone
            assert await _status(server, revoked) == 200  # the restore has forgotten the revocation
            audit = directory / "audit.jsonl"
            audit.write_text(exported)
            said = await _restore(url, "restore", "apply", "--audit", str(audit), "--json")
            assert json.loads(said)["repeated"] == {"token.revoked": 1, "endpoint.deleted": 1}
            assert json.loads(said)["byHand"] == {}
            said = await _restore(url, "restore", "apply", "--audit", str(audit), "--json")
            assert json.loads(said)["repeated"] == {}
            await until(lambda: _refused(server, revoked), "the revoked token is refused")

            # 4: the rest is sent, at its pace
            assert len(receiver.requests) == so_far
            await _restore(url, "restore", "release", "--rate", str(PACE), "--yes")
            await until(lambda: _owed(archive.second, 0), "nothing is pending any more")
            resent = _came(receiver, so_far)
            assert resent == Counter({("/kept", one): 1 for one in lost})
            times = [request.time for request in receiver.requests[so_far:]]
            assert max(times) - min(times) >= (UNPROVEN - 1) / PACE - 0.6  # what may start at once
            bodies = {(r.path, message_id(r)): r.body for r in receiver.requests[:so_far]}
            assert all(bodies["/kept", message_id(r)] == r.body for r in receiver.requests[so_far:])
            async with client(server) as api:
                (one,) = await _send(api, 1)
                await until(lambda: _came(receiver, so_far)["/kept", one] == 1, "new messages are sent")
            assert ("/gone", one) not in _came(receiver)
    finally:
        archive.stop()
    report(
        f"restored to a point in time, {tool}", CYCLES,
        Account(len(settled | in_flight | later), len(settled | in_flight), len(lost), 0),
        without_reconcile=2 * len(in_flight), recorded=found["recorded"], sent_again=len(lost),
    )  # fmt: skip


async def test_begin_says_what_waits_and_with_accept_messages_wait_until_the_release(
    directory: Path, database_url: str
) -> None:
    async with Receiver() as receiver, servers(directory) as started:
        server = await started.serve(database_url, ANGARIUM_RETRY_SCHEDULE="1h")
        async with client(server) as api:
            await api.app("quiet", receiver.url)
            _, made = await api.call("POST", "/app", {"name": "[b]Co", "uid": "failing"})
            refusing = f"http://127.0.0.1:{free_port()}"
            await api.call("POST", "/app/failing/endpoint", {"url": refusing})
            await _send(api, 1, app="failing")
            later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
            body = {"eventType": "a.b", "payload": {}, "deliverAt": later}
            assert (await api.call("POST", "/app/failing/msg", body))[0] == 202

            async def tried() -> bool:
                return await recorded(database_url) == 1

            await until(tried, "the first attempt has failed")
        assert await server.terminate() == 0
        said = await _restore(database_url, "restore", "begin", "--at", later, "--accept", "--yes")
        assert [line.split() for line in said.splitlines()[:-1]] == [
            ["application", "uid", "name", "pending", "due", "now", "due", "since"],
            [made["id"], "failing", "[b]Co", "2", "0", "0"],
            ["all", "2", "0", "0"],
        ]
        assert said.splitlines()[-1] == (
            "Nothing is sent until `angarium restore release`. Messages are accepted, and wait."
        )

        server = await started.serve(database_url)
        async with client(server) as api:
            (waiting,) = await _send(api, 1, app="quiet")
            status, health = await _call(server, "GET", "/health")
            assert status == 200
            assert json.loads(health)["sending"]["faults"][0]["reason"] == "restoring"
            assert receiver.requests == []
            await _restore(database_url, "restore", "release", "--rate", "5", "--yes")
            await receiver.wait_for(1)
            assert message_id(receiver.requests[0]) == waiting


async def _owed(node: Node, count: int) -> bool:
    """Whether so many deliveries are in the queue."""
    query = "select (select count(*) from angarium_1.pending) + (select count(*) from angarium_1.retry)"
    try:
        return bool(await node.execute(query, DATABASE) == count)
    except RAISED:
        return False


async def _call(server: Server, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
    async with (
        client(server) as api,
        api.session.request(
            method,
            f"{server.url}/api/v1{path}",
            json=body,
            headers={"authorization": f"Bearer {server.token}"},
        ) as answer,
    ):
        return answer.status, await answer.read()


async def _status(server: Server, token: str) -> int:
    """What the API answers to a token."""
    headers = {"authorization": f"Bearer {token}"}
    async with client(server) as api, api.session.get(f"{server.url}/api/v1/app", headers=headers) as answer:
        return answer.status


async def _refused(server: Server, token: str) -> bool:
    return await _status(server, token) == 401


def _wire(at: str) -> str:
    """PostgreSQL's text of a time, as the command reads it."""
    return at.replace(" ", "T") + (":00" if at[-3] in "+-" else "")
