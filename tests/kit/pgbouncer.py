"""A real PgBouncer before a PostgreSQL.

PgBouncer does not run as root, and other users may not enter a test's directory with PostgreSQL's socket. So
a port leads to that socket.

async with PgBouncer(postgres.url(), "transaction") as bouncer:
    ... bouncer.url ...
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Literal, Self
from urllib.parse import parse_qs, urlsplit

from angarium.store.postmaster import USER
from tests.kit.debian import ensure
from tests.kit.patience import PATIENCE, until
from tests.kit.port import free_port

SERVERS = 3
"""Connections to PostgreSQL, fewer than one of Angarium's pools has."""


SOCKET = ".s.PGSQL.5432"


def version() -> tuple[int, ...]:
    """Of the PgBouncer that the tests use: the one on the PATH, else Debian's."""
    told = subprocess.run(
        [ensure("pgbouncer"), "--version"], capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    found = re.search(r"PgBouncer (\d+)\.(\d+)", told.stdout)
    assert found is not None, told.stdout
    return tuple(map(int, found.groups()))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


class PgBouncer:
    """Runs as long as the context lasts; `url` is its address."""

    def __init__(
        self,
        upstream: str,
        mode: Literal["session", "transaction"],
        servers: int = SERVERS,
        prepared: int | None = None,
    ) -> None:
        """`prepared`: max_prepared_statements, which versions before 1.21 do not know."""
        parts = urlsplit(upstream)
        self._socket = Path(parse_qs(parts.query)["host"][0]) / SOCKET
        self._here = free_port()
        self._pumps: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._directory = Path(tempfile.mkdtemp(prefix="angarium-pgbouncer-"))
        port = free_port()
        database = parts.path.lstrip("/")
        self.url = f"postgresql://postgres@127.0.0.1:{port}/{database}"
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._log = self._directory / "log"
        self._conf = self._directory / "pgbouncer.ini"
        self._conf.write_text(
            f"[databases]\n* = host=127.0.0.1 port={self._here} user=postgres\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            f"auth_type = any\npool_mode = {mode}\ndefault_pool_size = {servers}\nmax_client_conn = 200\n"
            + ("" if prepared is None else f"max_prepared_statements = {prepared}\n")
        )

    async def __aenter__(self) -> Self:
        program = await asyncio.to_thread(ensure, "pgbouncer")
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._here)
        user = None
        if os.geteuid() == 0:
            user = pwd.getpwnam(USER).pw_uid
            self._directory.chmod(0o755)
        with self._log.open("wb") as log:
            self._process = await asyncio.to_thread(
                subprocess.Popen,
                [program, self._conf],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=user,
            )
        await until(self._listens, "PgBouncer listens")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.kill()
        await asyncio.to_thread(self._process.wait, PATIENCE)
        assert self._server is not None
        self._server.close()
        for task in list(self._pumps):
            task.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        shutil.rmtree(self._directory, ignore_errors=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pumps.add(task)
        writers = [writer]
        try:
            with contextlib.suppress(OSError):
                there, back = await asyncio.open_unix_connection(self._socket)
                writers.append(back)
                await asyncio.gather(_pump(reader, back), _pump(there, writer))
        except asyncio.CancelledError:
            for one in writers:
                one.transport.abort()
        finally:
            for one in writers:
                one.close()
                with contextlib.suppress(OSError):
                    await one.wait_closed()
            self._pumps.discard(task)

    async def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            return False
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return True
