"""A host of its own for one process: a network namespace with two cables, of which one can be cut.

One cable leads to PostgreSQL, which listens on it for as long as the test runs, the other to the receivers.
A cut is as silent as a real one: frames go to an address that no host has, so neither side is notified,
connections stay open, and new ones are not answered. Needs root and `ip`; `lacking` says what is missing.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from typing import Final, Self

from angarium.store.embedded import DATABASE, EmbeddedPostgres

PORT: Final = 5432
NOBODY: Final = "02:00:00:00:00:99"  # no device has it


def lacking() -> str | None:
    """Why there can be no network namespace here; None: there can."""
    if shutil.which("ip") is None:
        return "the program `ip` (of iproute2) is missing"
    name = f"angarium-{os.getpid()}-try"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"`ip netns add` is refused: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", name], check=True)
    return None


class Cable:
    """The namespace and its cables. `url`: the database's; `here`: this host's address, as seen from it."""

    def __init__(self) -> None:
        number = os.getpid() % 60_000
        self._name = f"angarium-{number}"
        self._before = f"10.{200 + number // 250 % 50}.{number % 250}"  # a network of our own
        self._devices = (f"ang{number}d", f"ang{number}r")
        self._database, self._there = f"{self._before}.1", f"{self._before}.2"
        self.here = f"{self._before}.5"
        self.url = f"postgresql://postgres@{self._database}:{PORT}/{DATABASE}"
        self.program = ("ip", "netns", "exec", self._name)

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._lay)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._remove)

    async def listened_on(self, postgres: EmbeddedPostgres) -> EmbeddedPostgres:
        """The same PostgreSQL, started again so that it listens on its cable to the host at the other end."""
        await postgres.stop()
        await asyncio.to_thread(self._start, postgres)
        return await EmbeddedPostgres.start(postgres.directory)

    def part(self) -> None:
        """Cut the connection to the database in both directions, without notifying either side."""
        self._neighbour(self._database, self._devices[0] + "x", inside=True)
        self._neighbour(self._there, self._devices[0], inside=False)

    def mend(self) -> None:
        """From now on frames find their way again; what was lost is sent again by TCP, if it still cares."""
        _ip("-n", self._name, "neigh", "del", self._database, "dev", self._devices[0] + "x")
        _ip("neigh", "del", self._there, "dev", self._devices[0])

    def _neighbour(self, address: str, device: str, *, inside: bool) -> None:
        where = ("-n", self._name) if inside else ()
        _ip(*where, "neigh", "replace", address, "lladdr", NOBODY, "dev", device, "nud", "permanent")

    def _lay(self) -> None:
        _ip("netns", "add", self._name)
        try:
            _ip("-n", self._name, "link", "set", "lo", "up")
            for device, first in zip(self._devices, (1, 5), strict=True):
                _ip("link", "add", device, "type", "veth", "peer", "name", device + "x")
                _ip("link", "set", device + "x", "netns", self._name)
                _ip("address", "add", f"{self._before}.{first}/30", "dev", device)
                _ip("link", "set", device, "up")
                inside = ("-n", self._name)
                _ip(*inside, "address", "add", f"{self._before}.{first + 1}/30", "dev", device + "x")
                _ip(*inside, "link", "set", device + "x", "up")
        except BaseException:
            self._remove()
            raise

    def _start(self, postgres: EmbeddedPostgres) -> None:
        with (postgres.directory / "postgres" / "pg_hba.conf").open("a") as file:
            file.write(f"host all postgres {self._there}/32 trust\n")
        postgres.postmaster.start(host=self._database, port=PORT)

    def _remove(self) -> None:
        # the namespace takes its ends of the cables along, and they the other ends
        for arguments in (("netns", "del", self._name), *(("link", "del", one) for one in self._devices)):
            subprocess.run(["ip", *arguments], capture_output=True, check=False)


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"
