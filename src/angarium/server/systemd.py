"""Reports the state of a service of `Type=notify` to systemd: ready, stopping, alive, and a line of status.

The protocol is a datagram of `NAME=value` lines to the socket that NOTIFY_SOCKET names (sd_notify(3)).
Without that variable nothing is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable, MutableMapping
from typing import Final

import structlog

from angarium.core.probe import Probe, ProbeAnswer
from angarium.shutdown import Shutdown

log = structlog.get_logger(__name__)

ROUND: Final = 5.0  # seconds between two looks at the status
BEATS: Final = 3  # of these, within the time after which systemd would restart the service
LOOP: Final = "event-loop"  # the check that the watchdog depends on

Ask = Callable[[Probe], ProbeAnswer]


class ServiceManager:
    """systemd, if it started this process.

    The variables are removed from the environment: a child, such as the embedded PostgreSQL, would send
    messages of its own.
    """

    def __init__(self, environ: MutableMapping[str, str] = os.environ) -> None:
        self._address = environ.pop("NOTIFY_SOCKET", "")
        usec, pid = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        ours = not pid or pid == str(os.getpid())
        self.watchdog = int(usec) / 1e6 if usec.isdecimal() and ours else 0.0
        """Seconds without a sign of life after which systemd restarts the service; 0: it does not."""
        self._status = ""

    def tell(self, *lines: str) -> None:
        """Sends lines. This never blocks, and a failure is only logged."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.sendto("\n".join(lines).encode(), address)
        except OSError as error:
            log.warning("systemd.untold", error=str(error), lines=lines)

    def ready(self, status: str) -> None:
        """The start is done."""
        self._status = status
        self.tell("READY=1", f"STATUS={status}")

    @contextlib.asynccontextmanager
    async def following(self, ask: Ask, shutdown: Shutdown) -> AsyncIterator[None]:
        """Keeps systemd informed meanwhile, from the answers to probes."""
        if not self._address:
            yield
            return
        tasks = [
            asyncio.create_task(self._stopping(shutdown), name="systemd stop"),
            asyncio.create_task(self._beating(ask), name="systemd watchdog"),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()

    async def _stopping(self, shutdown: Shutdown) -> None:
        await shutdown.begun.wait()
        self._status = "Stopping: finishes requests and attempts in flight"
        self.tell("STOPPING=1", f"STATUS={self._status}")

    async def _beating(self, ask: Ask) -> None:
        pause = min(ROUND, self.watchdog / BEATS) if self.watchdog else ROUND
        while True:
            alive = ask(Probe.LIVENESS)
            lines = []
            if self.watchdog and all(check.ok for check in alive.checks if check.name == LOOP):
                lines.append("WATCHDOG=1")
            if (status := status_of(alive, ask)) not in ("", self._status):
                self._status = status
                lines.append(f"STATUS={status}")
            if lines:
                self.tell(*lines)
            await asyncio.sleep(pause)


def status_of(alive: ProbeAnswer, ask: Ask) -> str:
    """The line of status; empty while the process starts or stops."""
    ready = ask(Probe.READINESS)
    failing = [check for check in (*alive.checks, *ready.checks) if not check.ok]
    if any(check.name in ("started", "draining") for check in failing):
        return ""
    return " ".join(dict.fromkeys(check.reason for check in failing)) or "Ready"
