"""Supervises the child processes of `serve --processes N`.

All children accept from one socket that the parent bound, so no waiting connection is lost when a child dies.
A dead child is restarted, after a longer pause each time it dies early. Children stop if the parent dies.

Children are forked from a process that has imported what they need and does nothing else (preload.py). So
they start in a fraction of a second, and share the memory of their code.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Final, NamedTuple

from angarium import telemetry
from angarium.core.errors import ProcessRefused
from angarium.core.probe import StartStep
from angarium.server import process
from angarium.server.channel import Channel
from angarium.server.metrics import ChildMetrics, metrics_route
from angarium.server.otlp import exporting
from angarium.server.presence import Presence
from angarium.server.report import Reports, reporting
from angarium.settings import Settings
from angarium.shutdown import Shutdown
from angarium.telemetry.catalogue import CATALOGUE
from angarium.telemetry.gauges import process_gauges
from angarium.telemetry.registry import Registry
from angarium.vitals import Vitals

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, SpawnContext

    Context = ForkServerContext | SpawnContext

STOP_GRACE: Final = 5.0  # seconds after the end of the shutdown in which a child may still exit by itself
LAST_ANSWER: Final = 1.0  # seconds in which the last metrics of a child that has ended are read
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 30.0
HEALTHY: Final = 30.0  # seconds alive after which the pause is reset
_DISPATCHED: Final = ("uvloop", "angarium.dispatch.dispatcher", "angarium.dispatch.transport.sender")
_SERVED: Final = ("angarium.api.app", "angarium.portal.app", "angarium.server.http_server")
_OTEL: Final = ("angarium.telemetry.otlp.collector", "angarium.telemetry.otlp.tracer")
REFUSED: Final = 78  # the exit code of a child that the database refuses: restarting it does not help


class ChildWork(NamedTuple):
    """What each child does (see `process.work`)."""

    settings: Settings
    database_url: str
    role: str
    listener: socket.socket | None


async def supervise(work: ChildWork, count: int, shutdown: Shutdown, presence: Presence) -> None:
    """Keeps `count` children running until `shutdown`, then waits until all have stopped. `presence` shows
    how they do.

    Raises ProcessRefused if the database refuses a child; then the others are stopped too.
    """
    metrics = None
    registry = snapshot = None
    if work.settings.ops_listen or work.settings.otlp_endpoint:
        registry = Registry(CATALOGUE)
        registry.before_snapshot(process_gauges(registry))
        metrics = ChildMetrics(registry)
        snapshot = metrics.snapshot
        presence.routes["/metrics"] = metrics_route(snapshot)
    process.on_hangup(_pass_on_hangup)
    async with (
        exporting(work.settings, work.role, shutdown, registry, snapshot),
        asyncio.TaskGroup() as group,
    ):
        polling = group.create_task(metrics.poll()) if metrics is not None else None
        context = _context(work)
        children = [
            group.create_task(_keep(number, work, context, shutdown, presence.reports, metrics))
            for number in range(count)
        ]
        await shutdown.begun.wait()
        presence.vitals.draining = True
        if polling is not None:
            polling.cancel()
        if work.listener is not None:
            work.listener.close()  # so that clients are refused once the children have closed it
    if any(child.result() == REFUSED for child in children):
        raise ProcessRefused("the database refuses this process; `process.refused` in the log says why")


async def _keep(
    number: int,
    work: ChildWork,
    context: Context,
    shutdown: Shutdown,
    reports: Reports,
    metrics: ChildMetrics | None,
) -> int | None:
    """Returns the exit code of the last child."""
    log = telemetry.logger("supervisor").bind(process=number)
    loop = asyncio.get_running_loop()
    stop = shutdown.begun
    pause = FIRST_PAUSE
    while not stop.is_set():
        own, other = socket.socketpair() if metrics is not None else (None, None)
        with reports.received(number) as channel:
            child = context.Process(
                target=child_main,
                args=(work, channel, other),
                name=f"angarium-{number}",
                daemon=True,  # a failing parent terminates its children instead of waiting for them
            )
            child.start()
            started = loop.time()
            log.info("process.started", pid=child.pid)
            async with _asked(str(number), own, other, metrics, stop):
                with _ended(child) as ended:
                    await _first_of(ended, stop)
                    if stop.is_set():
                        await _end(child, ended, shutdown)
                        return child.exitcode
        child.join()
        if child.exitcode == REFUSED:
            shutdown.begin()
            return REFUSED
        pause = FIRST_PAUSE if loop.time() - started > HEALTHY else min(pause * 2, LONGEST_PAUSE)
        log.error("process.died", pid=child.pid, exit_code=child.exitcode, again_in=pause)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), pause)
    return None


def _context(work: ChildWork) -> Context:
    """How children are started."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    modules = [] if work.role == "api" else [*_DISPATCHED]
    modules += [] if work.listener is None else _SERVED
    modules += _OTEL if work.settings.otlp_endpoint else []
    context.set_forkserver_preload(["angarium.server.process", *modules, "angarium.server.preload"])
    return context


def _pass_on_hangup() -> None:
    for child in multiprocessing.active_children():
        if child.pid is not None:
            os.kill(child.pid, signal.SIGHUP)


@contextlib.asynccontextmanager
async def _asked(
    process: str,
    own: socket.socket | None,
    other: socket.socket | None,
    metrics: ChildMetrics | None,
    stop: asyncio.Event,
) -> AsyncIterator[None]:
    """The child that has the other end of the channel is asked for its metrics meanwhile."""
    if own is None or other is None or metrics is None:
        yield
        return
    other.close()  # the child has its own copy; it ends when the child does
    channel = Channel(own)
    await channel.open()
    metrics.started(process, channel)
    try:
        yield
    finally:
        await channel.ended(LAST_ANSWER)
        metrics.ended(process, channel.last, died=not stop.is_set())


@contextlib.contextmanager
def _ended(child: BaseProcess) -> Iterator[asyncio.Event]:
    """An event that is set when the child ends."""
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(child.sentinel, event.set)
    try:
        yield event
    finally:
        loop.remove_reader(child.sentinel)


async def _first_of(*events: asyncio.Event) -> None:
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()


async def _end(child: BaseProcess, ended: asyncio.Event, shutdown: Shutdown) -> None:
    child.terminate()
    hurrying = asyncio.create_task(_hurry(child, shutdown))
    try:
        await asyncio.wait_for(ended.wait(), shutdown.left + STOP_GRACE)
    except TimeoutError:
        child.kill()
        await ended.wait()
    finally:
        hurrying.cancel()
    child.join()


async def _hurry(child: BaseProcess, shutdown: Shutdown) -> None:
    """Passes the second signal on, and kills a child that does not end then."""
    await shutdown.hurried.wait()
    child.terminate()
    await asyncio.sleep(shutdown.left + STOP_GRACE)
    child.kill()


def child_main(work: ChildWork, channel: socket.socket, supervisor: socket.socket | None) -> None:
    """The main function of a child."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # until the child can stop in order
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent passes it on
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until keys can be read again, which is done then
    telemetry.configure(work.settings.log_format, work.settings.log_level)
    try:
        process.run(_child(work, channel, supervisor))
    except ProcessRefused:
        sys.exit(REFUSED)


async def _child(work: ChildWork, channel: socket.socket, supervisor: socket.socket | None) -> None:
    shutdown = process.stop_signal(work.settings, signal.SIGTERM)
    vitals = Vitals()
    vitals.done(StartStep.SETTINGS, StartStep.SECRETS, StartStep.SCHEMA)
    parent = multiprocessing.parent_process()
    if parent is not None:
        loop, gone = asyncio.get_running_loop(), parent.sentinel

        def orphaned() -> None:
            loop.remove_reader(gone)
            shutdown.begin()

        loop.add_reader(gone, orphaned)
    async with vitals.noted(), reporting(vitals, channel):
        await process.work(*work, shutdown, lambda: None, vitals=vitals, supervisor=supervisor)
