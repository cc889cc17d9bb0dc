"""The page `/metrics` of the listener for operators' tools, of one process or of a supervisor's children.

A supervisor asks its children for their snapshots. It keeps the last one of each: when a child dies, its
counters are added to those of all children that have died, so that no sum becomes smaller. It also asks every
few seconds by itself, so that a death loses little.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from angarium.server.channel import Channel
from angarium.server.ops import OpsPage, OpsRequest, OpsRoute
from angarium.telemetry.catalogue import CATALOGUE
from angarium.telemetry.combination import combined, counters
from angarium.telemetry.exposition import exposition
from angarium.telemetry.registry import Registry, Snapshot, decoded

log = structlog.get_logger(__name__)

ANSWER: Final = 2.0  # seconds in which a child answers; Prometheus waits ten
EVERY: Final = 5.0  # seconds between the supervisor's own questions


def metrics_route(snapshot: Callable[[], Awaitable[Snapshot]]) -> OpsRoute:
    """Shows snapshots as Prometheus reads them."""

    async def page(request: OpsRequest) -> OpsPage:
        body, content_type = exposition(CATALOGUE, await snapshot(), request.headers.get("accept", ""))
        return OpsPage(200, body, content_type)

    return page


def own_snapshot(registry: Registry) -> Callable[[], Awaitable[Snapshot]]:
    """The snapshot of this process alone."""

    async def snapshot() -> Snapshot:
        registry.value("processes", "answering").set(1)
        registry.value("processes", "silent").set(0)
        return combined({"0": registry.snapshot()})

    return snapshot


class ChildMetrics:
    """The metrics of a supervisor's children. `registry`: the supervisor's own."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._channels: dict[str, Channel] = {}
        self._last: dict[str, Snapshot] = {}
        self._ended: Snapshot = {}
        self._deaths = registry.value("process_deaths_total")

    def started(self, process: str, channel: Channel) -> None:
        """A child was started."""
        self._channels[process] = channel

    def ended(self, process: str, sent: bytes | None = None, *, died: bool) -> None:
        """A child has ended. Its counters are kept: those that it sent when it ended, or those of
        its last answer."""
        self._channels.pop(process, None)
        last = self._last.pop(process, {})
        if sent is not None:
            last = decoded(sent)
        self._ended = combined({}, [self._ended, counters(combined({process: last}))])
        self._deaths.value += died

    async def snapshot(self) -> Snapshot:
        """Of all children, those that have ended, and the supervisor."""
        asked = dict(self._channels)
        answered = await asyncio.gather(*(self._ask(process, channel) for process, channel in asked.items()))
        now = {process: self._last[process] for process, yes in zip(asked, answered, strict=True) if yes}
        # of a child that does not answer, the counters: a sum must not become smaller
        silent = [
            counters(combined({process: last})) for process, last in self._last.items() if process not in now
        ]
        self._registry.value("processes", "answering").set(len(now))
        self._registry.value("processes", "silent").set(len(self._channels) - len(now))
        return combined({**now, "supervisor": self._registry.snapshot()}, [self._ended, *silent])

    async def poll(self) -> None:
        """Ask every few seconds, until cancelled."""
        while True:
            await asyncio.sleep(EVERY)
            await asyncio.gather(*(self._ask(*one) for one in list(self._channels.items())))

    async def _ask(self, process: str, channel: Channel) -> bool:
        try:
            snapshot = decoded(await channel.ask("metrics", ANSWER))
        except (TimeoutError, ConnectionError):
            return False
        except Exception:
            # metrics must not end the supervisor
            log.exception("ops.failed", path="/metrics", process=process)
            return False
        if self._channels.get(process) is not channel:
            return False  # it has ended meanwhile
        self._last[process] = snapshot
        return True
