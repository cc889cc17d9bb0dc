"""Three PostgreSQL 15 under Patroni with etcd, and HAProxy before them, all of Debian's packages on loopback.

Everything is in one temporary folder and runs as an unprivileged user. Clients use HAProxy's port: it leads
to the node that Patroni's `/primary` names, and cuts the sessions of a node that is primary no longer.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import aiohttp
import psutil

from tests.faults.harness import NOBODY
from tests.faults.replicated import DATABASE, own, unprivileged
from tests.kit.debian import POSTGRESQL_15, ensure, services
from tests.kit.patience import PATIENCE, until
from tests.kit.port import free_port
from tests.kit.process import signal_family

NODES: Final = ("alpha", "beta", "gamma")
TTL: Final = 20  # seconds after which a leader that says nothing has lost its place: the least Patroni takes
LOOP_WAIT: Final = 1
RETRY: Final = 3
SETTINGS: Final = """
      synchronous_mode: true
      primary_start_timeout: 0
      ttl: {ttl}
      loop_wait: {loop_wait}
      retry_timeout: {retry}
      postgresql:
        use_pg_rewind: true
        parameters:
          shared_buffers: 16MB
          max_connections: 100
          wal_log_hints: 'on'
          unix_socket_directories: ''
"""
CONFIGURATION: Final = """\
scope: angarium
name: {name}
restapi:
  listen: 127.0.0.1:{rest}
  connect_address: 127.0.0.1:{rest}
etcd3:
  host: 127.0.0.1:{etcd}
bootstrap:
  dcs:{settings}
  initdb:
  - encoding: UTF8
  - data-checksums
  pg_hba:
  - host all all 127.0.0.1/32 trust
  - host replication all 127.0.0.1/32 trust
postgresql:
  listen: 127.0.0.1:{port}
  connect_address: 127.0.0.1:{port}
  data_dir: {data}
  bin_dir: {programs}
  pgpass: {folder}/pgpass-{name}
  authentication:
    superuser:
      username: postgres
    replication:
      username: postgres
    rewind:
      username: postgres
"""
PROXY: Final = """\
defaults
  mode tcp
  timeout connect 2s
  timeout client 1h
  timeout server 1h
  option clitcpka
  option srvtcpka
listen primary
  bind 127.0.0.1:{port}
  option httpchk GET /primary
  http-check expect status 200
  default-server inter 500ms fastinter 200ms fall 2 rise 1 on-marked-down shutdown-sessions
{servers}
"""


@dataclass
class Node:
    """A PostgreSQL and the Patroni that runs it."""

    name: str
    port: int = field(default_factory=free_port)
    rest: int = field(default_factory=free_port)


class Patroni:
    """Runs as long as the context lasts; `url` leads to the primary, whichever it is."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="angarium-patroni-"))
        own(self.directory)
        self.nodes = [Node(name) for name in NODES]
        self._port = free_port()
        self._etcd = free_port()
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        self._session: aiohttp.ClientSession | None = None
        self._program: Path | None = None

    @property
    def url(self) -> str:
        """By way of HAProxy."""
        return f"postgresql://postgres@127.0.0.1:{self._port}/{DATABASE}"

    @property
    def hosts_url(self) -> str:
        """All nodes by name, without HAProxy."""
        places = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        return f"postgresql://postgres@{places}/{DATABASE}"

    async def __aenter__(self) -> Self:
        etcd, self._program = services()
        haproxy = await asyncio.to_thread(ensure, "haproxy")
        await asyncio.to_thread(ensure, str(POSTGRESQL_15 / "postgres"))
        self._session = aiohttp.ClientSession()
        try:
            peer = f"http://127.0.0.1:{free_port()}"
            here = f"http://127.0.0.1:{self._etcd}"
            self._start(
                "etcd", str(etcd), "--data-dir", str(self.directory / "etcd"),
                "--listen-client-urls", here, "--advertise-client-urls", here,
                "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                "--initial-cluster", f"default={peer}", "--unsafe-no-fsync",
            )  # fmt: skip
            await until(lambda: self._says(self._etcd, "/health"), "etcd answers")
            for node in self.nodes:
                self._write(f"{node.name}.yml", self._configuration(node))
                self.start(node)
                if node is self.nodes[0]:
                    await self.primary()
            await self.synchronous()
            servers = [
                f"  server {node.name} 127.0.0.1:{node.port} check port {node.rest}" for node in self.nodes
            ]
            self._write("haproxy.cfg", PROXY.format(port=self._port, servers="\n".join(servers)))
            self._start("haproxy", str(haproxy), "-f", str(self.directory / "haproxy.cfg"))
        except BaseException:
            await self.__aexit__(*sys.exc_info())
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session is not None
        await self._session.close()
        for process in reversed(self._started.values()):
            _kill(process.pid)
            process.wait(PATIENCE)
        for node in self.nodes:
            if (pid := self._postmaster(node)) is not None:
                _kill(pid)
        shutil.rmtree(self.directory, ignore_errors=True)

    async def primary(self) -> Node:
        """Wait until there is one."""
        found: list[Node] = []

        async def one() -> bool:
            found[:] = [node for node in self.nodes if await self._says(node.rest, "/primary")]
            return len(found) == 1

        await until(one, self.logs)
        return found[0]

    async def synchronous(self) -> None:
        """Wait until the primary has a synchronous standby, and the third node follows too."""

        async def ready() -> bool:
            roles = [await self._says(node.rest, "/synchronous") for node in self.nodes]
            return sum(roles) == 1 and all([await self._says(node.rest, "/health") for node in self.nodes])

        await until(ready, self.logs)

    def start(self, node: Node) -> None:
        """Start a node's Patroni, which starts its PostgreSQL."""
        self._start(node.name, str(self._program), str(self.directory / f"{node.name}.yml"))

    def restart(self, node: Node) -> None:
        """Start its Patroni again if it was killed."""
        if self._started[node.name].poll() is not None:
            self.start(node)

    async def kill_host(self) -> Node:
        """SIGKILL to the primary and its Patroni together, as when a host is gone. The lead is not released,
        so it ends with the time to live of its key."""
        node = await self.primary()
        postmaster, patroni = self._postmaster(node), self._started[node.name]
        assert postmaster is not None
        patroni.send_signal(signal.SIGSTOP)  # it must not see its PostgreSQL end
        _kill(postmaster)
        _kill(patroni.pid)
        await asyncio.to_thread(patroni.wait, PATIENCE)
        return node

    async def kill_primary(self) -> Node:
        """SIGKILL to all processes of the primary's PostgreSQL. Its Patroni gives up the lead, and starts it
        again as a standby."""
        node = await self.primary()
        pid = self._postmaster(node)
        assert pid is not None
        _kill(pid)
        return node

    def _postmaster(self, node: Node) -> int | None:
        """It is no child of its Patroni, and outlives it."""
        try:
            lines = (self.directory / node.name / "postmaster.pid").read_text().splitlines()
            process = psutil.Process(int(lines[0]))
            ours = str(self.directory / node.name) in process.cmdline()
        except (OSError, ValueError, IndexError, psutil.NoSuchProcess):
            return None
        return process.pid if ours else None

    @property
    def logs(self) -> str:
        return "\n".join(
            f"--- {file.name}\n{file.read_text(errors='replace')[-1500:]}"
            for file in sorted(self.directory.glob("*.log"))
        )

    def _configuration(self, node: Node) -> str:
        return CONFIGURATION.format(
            name=node.name, rest=node.rest, port=node.port, etcd=self._etcd, folder=self.directory,
            data=self.directory / node.name, programs=POSTGRESQL_15,
            settings=SETTINGS.format(ttl=TTL, loop_wait=LOOP_WAIT, retry=RETRY),
        )  # fmt: skip

    def _write(self, name: str, text: str) -> None:
        path = self.directory / name
        path.write_text(text)
        own(path)

    def _start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        with (self.directory / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=unprivileged(),
                cwd="/",
                env={"PATH": os.defpath, "LC_ALL": "C.UTF-8", "HOME": str(self.directory)},
            )
        self._started[name] = process
        return process

    async def _says(self, port: int, path: str) -> bool:
        assert self._session is not None
        with contextlib.suppress(*NOBODY):
            timeout = aiohttp.ClientTimeout(total=2)
            async with self._session.get(f"http://127.0.0.1:{port}{path}", timeout=timeout) as answer:
                return answer.status == 200
        return False


def _kill(pid: int) -> None:
    """The process and its children, all at once: stopped first, so that none ends in order."""
    signal_family(pid, signal.SIGSTOP, signal.SIGKILL)
