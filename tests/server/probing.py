"""Servers whose operations listener is asked, as a load balancer or systemd would."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp

from angarium.core.probe import Probe
from tests.faults.harness import ANGARIUM, NOBODY, Server, Servers
from tests.kit.patience import SLOW, until
from tests.kit.port import free_port


@dataclass(frozen=True, slots=True)
class Probed:
    """A server, and the URL of its operations listener."""

    server: Server
    ops: str

    async def ask(self, probe: Probe) -> tuple[int, dict[str, Any]]:
        """Status and answer; 0 if it does not respond."""
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"{self.ops}/{probe}") as response,
            ):
                return response.status, await response.json()
        except NOBODY:
            return 0, {}

    async def status(self, probe: Probe) -> int:
        return (await self.ask(probe))[0]

    async def failing(self, probe: Probe) -> list[tuple[str, int | None]]:
        """The failing checks, each with the number of its process."""
        _, found = await self.ask(probe)
        return [(one["name"], one.get("process")) for one in found["checks"] if not one["ok"]]

    async def until_ready(self) -> None:
        await until(lambda: self.is_ready(), "it is ready", pause=SLOW)

    async def is_ready(self) -> bool:
        assert self.server.process.poll() is None, self.server.log.read_text()
        return await self.status(Probe.READINESS) == 200


def launched(
    servers: Servers,
    database_url: str,
    *arguments: str,
    port: int | None = None,
    ops: int | None = None,
    **variables: str,
) -> Probed:
    """A server that may not be ready yet. `ops`: the port of its operations listener."""
    ops = ops or free_port()
    variables = {"ANGARIUM_OPS_LISTEN": f"127.0.0.1:{ops}"} | variables
    server = servers.launch(database_url, *arguments, port=port, program=ANGARIUM, **variables)
    return Probed(server, f"http://127.0.0.1:{ops}")


@dataclass(frozen=True, slots=True)
class Manager:
    """The socket on which systemd would listen."""

    path: str
    socket: socket.socket

    def read(self) -> list[list[str]]:
        """The messages that have arrived, each by line."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(self.socket.recv(4096).decode().splitlines())
        return found


@contextlib.asynccontextmanager
async def managing(path: str) -> AsyncIterator[Manager]:
    """Listens at a path, or at an abstract address that begins with `@`."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listening.setblocking(False)
    listening.bind("\0" + path[1:] if path.startswith("@") else path)
    try:
        yield Manager(path, listening)
    finally:
        listening.close()
