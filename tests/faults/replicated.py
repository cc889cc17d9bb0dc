"""A PostgreSQL 15 with a standby, of Debian's package, on loopback.

async with Replicated() as pair:
    ... pair.url ...            both hosts, for Angarium
    pair.first.kill(); await pair.second.promote()
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final, Self

import asyncpg

from angarium.store.fault import RAISED
from angarium.store.postmaster import USER
from tests.kit.debian import POSTGRESQL_15, ensure
from tests.kit.patience import PATIENCE, until
from tests.kit.port import free_port
from tests.kit.process import signal_family

DATABASE: Final = "angarium"
SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "16MB",
    "max_connections": "100",
    "wal_level": "replica",
    "hot_standby": "on",
    "logging_collector": "off",
}
_templates: Final[list[Node]] = []


def unprivileged() -> str | None:
    """The user that PostgreSQL runs as; None: the one that we are."""
    return USER if os.geteuid() == 0 else None


class Node:
    """One PostgreSQL and its directory."""

    def __init__(self, directory: Path, name: str, **settings: str) -> None:
        self._settings = {**SETTINGS, **settings}
        self.port = free_port()
        self.place = f"127.0.0.1:{self.port}"
        self.data = directory / name
        self.log = directory / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql://postgres@{self.place}/{DATABASE}"

    async def run(self, program: str, *arguments: str | Path) -> None:
        """One of PostgreSQL's programs to its end."""
        with self.log.open("ab") as log:
            done = await asyncio.to_thread(
                subprocess.run,
                [POSTGRESQL_15 / program, *arguments],
                stdout=log,
                stderr=log,
                user=unprivileged(),
                cwd="/",
                timeout=PATIENCE,
                check=False,
            )
        assert done.returncode == 0, self.log.read_text()

    async def copy(self, other: Node) -> None:
        """Begin with the data of a server that is stopped."""
        command = ["cp", "--archive", "--reflink=auto", str(other.data), str(self.data)]
        await asyncio.to_thread(subprocess.check_call, command)

    async def start(self) -> None:
        """Start it, and wait until it answers."""
        options = [f"--{name}={value}" for name, value in {**self._settings, "port": str(self.port)}.items()]
        with self.log.open("ab") as log:
            self._process = await asyncio.to_thread(
                subprocess.Popen,
                [str(POSTGRESQL_15 / "postgres"), "-D", str(self.data), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=unprivileged(),
                cwd="/",
            )
        await until(self.answers, "PostgreSQL answers")

    def kill(self) -> None:
        """SIGKILL to all of its processes at once, also if the first has ended by itself."""
        assert self._process is not None
        process, self._process = self._process, None
        signal_family(process.pid, signal.SIGKILL)
        process.wait(PATIENCE)

    async def stop(self) -> None:
        """As for maintenance: what was written is with the standby."""
        if self._process is not None:
            process, self._process = self._process, None
            process.send_signal(signal.SIGINT)
            await asyncio.to_thread(process.wait, PATIENCE)

    async def follow(self, primary: Node) -> None:
        """Be a standby of another from the next start on."""
        conninfo = f"host=127.0.0.1 port={primary.port} user=postgres application_name={self.data.name}"
        with (self.data / "postgresql.auto.conf").open("a") as file:
            file.write(f"primary_conninfo = '{conninfo}'\nrecovery_target_timeline = 'latest'\n")
        (self.data / "standby.signal").touch()
        own(self.data / "standby.signal")

    async def set(self, **settings: str) -> None:
        """Change settings that need no start."""
        for name, value in settings.items():
            await self.execute(f"alter system set {name} = '{value}'")
        await self.execute("select pg_reload_conf()")

    async def promote(self) -> None:
        await self.execute("select pg_promote()")

    async def execute(self, query: str, database: str = "postgres") -> Any:
        return await administered(self.port, query, database)

    async def answers(self) -> bool:
        """Whether it takes connections. One that has ended will not, and its log says why."""
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()
        with contextlib.suppress(*RAISED):
            await self.execute("select 1")
            return True
        return False


class Replicated:
    """A primary and its standby, as long as the context lasts."""

    def __init__(self, *, synchronous: bool = True) -> None:
        self._synchronous = synchronous
        self.directory = Path(tempfile.mkdtemp(prefix="angarium-replicated-"))
        own(self.directory)
        self.first = Node(self.directory, "first")
        self.second = Node(self.directory, "second")

    @property
    def url(self) -> str:
        """Both hosts."""
        return f"postgresql://postgres@{self.first.place},{self.second.place}/{DATABASE}"

    async def __aenter__(self) -> Self:
        template = await _template()
        for node in (self.first, self.second):
            await node.copy(template)
        await self.first.start()
        await self.second.follow(self.first)
        await self.second.start()
        if self._synchronous:
            await self.synchronous(self.first)
        return self

    async def __aexit__(self, *_: object) -> None:
        for node in (self.first, self.second):
            if node._process is not None:
                node.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    async def synchronous(self, primary: Node) -> None:
        """From now on a commit of the primary waits for the standby."""
        await primary.execute("alter system set synchronous_standby_names = '*'")
        await primary.execute("select pg_reload_conf()")

        async def attached() -> bool:
            query = "select count(*) from pg_stat_replication where sync_state = 'sync'"
            return bool(await primary.execute(query))

        await until(attached, "the standby is synchronous")


async def _template() -> Node:
    """The data directory of a server that was stopped in order, of which both of a pair are copies. It is
    made once in a process."""
    if not _templates:
        await asyncio.to_thread(ensure, str(POSTGRESQL_15 / "postgres"))
        directory = Path(tempfile.mkdtemp(prefix="angarium-template-"))
        atexit.register(shutil.rmtree, directory, ignore_errors=True)
        own(directory)
        node = Node(directory, "template")
        await node.run("initdb", "-D", node.data, "-U", "postgres", "-A", "trust", "--no-sync")
        await node.start()
        await node.execute(f"create database {DATABASE}")
        await node.stop()
        _templates.append(node)
    return _templates[0]


async def administered(port: int, query: str, database: str = "postgres") -> Any:
    """The value of a query as the owner."""
    connection = await asyncpg.connect(f"postgresql://postgres@127.0.0.1:{port}/{database}", timeout=PATIENCE)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def own(path: Path) -> None:
    """Give a file to the user that PostgreSQL runs as."""
    if (user := unprivileged()) is not None:
        found = pwd.getpwnam(user)
        os.chown(path, found.pw_uid, found.pw_gid)
