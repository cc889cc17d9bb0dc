"""Supervises the child processes of `serve --processes N`.

All children accept from one socket that the parent bound, so no waiting connection is lost when a child dies.
A dead child is restarted, after a longer pause each time it dies early. Children stop if the parent dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import signal
import socket
import sys
from collections.abc import Iterator
from multiprocessing.context import SpawnProcess
from typing import Final

from angarium import __version__, telemetry
from angarium.core.errors import ProcessRefused
from angarium.server import ops, process
from angarium.server.metrics import metrics_route
from angarium.server.ops import OpsRoute
from angarium.settings import Settings
from angarium.telemetry.catalogue import CATALOGUE
from angarium.telemetry.registry import Registry, Snapshot

STOP_DEADLINE: Final = 180.0
"""Seconds; more than the sum of a child's own deadlines for requests, deliveries in flight, and results
that the database does not accept."""
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 30.0
HEALTHY: Final = 30.0  # seconds alive after which the pause is reset
REFUSED: Final = 78  # the exit code of a child that the database refuses: restarting it does not help


async def supervise(
    settings: Settings,
    database_url: str,
    role: str,
    listener: socket.socket | None,
    count: int,
    stop: asyncio.Event,
    ops_listener: socket.socket | None = None,
) -> None:
    """Keeps `count` children running until `stop`, then waits until all have stopped. Serves operators'
    tools for all of them.

    Raises ProcessRefused if the database refuses a child; then the others are stopped too.
    """
    registry = Registry(CATALOGUE)
    registry.value("build_info", __version__, role).set(1)

    async def snapshot() -> Snapshot:
        return registry.snapshot()

    routes: dict[str, OpsRoute] = {"/metrics": metrics_route(snapshot)}
    async with ops.serving(ops_listener, routes), asyncio.TaskGroup() as group:
        children = [
            group.create_task(_keep(number, (settings, database_url, role, listener), stop))
            for number in range(count)
        ]
        await stop.wait()
        if listener is not None:
            listener.close()  # so that clients are refused, not left waiting
    if any(child.result() == REFUSED for child in children):
        raise ProcessRefused("the database refuses this process; `process.refused` in the log says why")


async def _keep(
    number: int, arguments: tuple[Settings, str, str, socket.socket | None], stop: asyncio.Event
) -> int | None:
    """Returns the exit code of the last child."""
    log = telemetry.logger("supervisor").bind(process=number)
    loop = asyncio.get_running_loop()
    pause = FIRST_PAUSE
    while not stop.is_set():
        child = multiprocessing.get_context("spawn").Process(
            target=child_main,
            args=arguments,
            name=f"angarium-{number}",
            daemon=True,  # a failing parent terminates its children instead of waiting for them
        )
        child.start()
        started = loop.time()
        log.info("process.started", pid=child.pid)
        with _ended(child) as ended:
            await _first_of(ended, stop)
            if stop.is_set():
                await _end(child, ended)
                return child.exitcode
        child.join()
        if child.exitcode == REFUSED:
            stop.set()
            return REFUSED
        pause = FIRST_PAUSE if loop.time() - started > HEALTHY else min(pause * 2, LONGEST_PAUSE)
        log.error("process.died", pid=child.pid, exit_code=child.exitcode, again_in=pause)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), pause)
    return None


@contextlib.contextmanager
def _ended(child: SpawnProcess) -> Iterator[asyncio.Event]:
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


async def _end(child: SpawnProcess, ended: asyncio.Event) -> None:
    child.terminate()
    try:
        await asyncio.wait_for(ended.wait(), STOP_DEADLINE)
    except TimeoutError:
        child.kill()
        await ended.wait()
    child.join()


def child_main(settings: Settings, database_url: str, role: str, listener: socket.socket | None) -> None:
    """The main function of a child."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent passes it on
    telemetry.configure(settings.log_format, settings.log_level)
    try:
        process.run(_child(settings, database_url, role, listener))
    except ProcessRefused:
        sys.exit(REFUSED)


async def _child(settings: Settings, database_url: str, role: str, listener: socket.socket | None) -> None:
    stop = process.stop_signal(signal.SIGTERM)
    parent = multiprocessing.parent_process()
    if parent is not None:
        asyncio.get_running_loop().add_reader(parent.sentinel, stop.set)
    await process.work(settings, database_url, role, listener, stop, lambda: None)
