"""Shows the state of a server: probes and other pages for operators' tools, and messages to systemd."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator

import msgspec

from angarium.core.probe import Probe, ProbeAnswer, answer, answer_of_all
from angarium.server import ops
from angarium.server.ops import OpsPage, OpsRequest, OpsRoute
from angarium.server.report import Reports
from angarium.server.systemd import ServiceManager
from angarium.shutdown import Shutdown
from angarium.vitals import Vitals

_encode = msgspec.json.Encoder().encode


class Presence:
    """One server: a process, or a supervisor with `processes` children. Create it before they start.

    `routes`: the pages for operators' tools. Other parts may add theirs.
    """

    def __init__(self, processes: int, manager: ServiceManager | None = None) -> None:
        self.vitals = Vitals()
        self.reports = Reports(processes, self.ready)
        self.routes: dict[str, OpsRoute] = {f"/{probe}": self._route(probe) for probe in Probe}
        self._supervises = processes > 1
        self._manager = manager or ServiceManager()

    def answer(self, probe: Probe) -> ProbeAnswer:
        """The answer to a probe, at this moment."""
        if self._supervises:
            return answer_of_all(probe, self.vitals.facts(), self.reports.facts())
        return answer(probe, self.vitals.facts())

    def ready(self) -> None:
        """The start is done: all processes serve."""
        self._manager.ready("Ready")

    @contextlib.asynccontextmanager
    async def shown(self, listener: socket.socket | None, shutdown: Shutdown) -> AsyncIterator[None]:
        """Serves the pages on `listener`, if there is one, and keeps systemd informed meanwhile."""
        async with (
            self.vitals.noted(),
            ops.serving(listener, self.routes),
            self._manager.following(self.answer, shutdown),
        ):
            yield

    def _route(self, probe: Probe) -> OpsRoute:
        async def page(request: OpsRequest) -> OpsPage:
            answered = self.answer(probe)
            return OpsPage(answered.status, _encode(answered) + b"\n", "application/json")

        return page
