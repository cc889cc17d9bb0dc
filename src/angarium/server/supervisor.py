"""`serve --processes N`: a parent that listens and children that work.

All children accept from the one socket that the parent bound, so a child that dies takes no waiting
connection with it. A child that dies is started again, later each time it dies quickly. A child whose
parent dies stops by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import signal
import socket
from collections.abc import Iterator
from multiprocessing.context import SpawnProcess
from typing import Final

from angarium import telemetry
from angarium.server import process
from angarium.settings import Settings

STOP_DEADLINE: Final = 180.0
"""Seconds; above what a child needs for its own deadlines: it answers, then waits for what is in flight, then
for results that the database does not take."""
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 30.0
HEALTHY: Final = 30.0  # seconds alive after which the pause starts again from the first


async def supervise(
    settings: Settings,
    database_url: str,
    role: str,
    listener: socket.socket | None,
    count: int,
    stop: asyncio.Event,
) -> None:
    """Keep `count` children working until `stop`, then wait until all have stopped."""
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(_keep(number, (settings, database_url, role, listener), stop))
        await stop.wait()
        if listener is not None:
            listener.close()  # the last that keeps it open: clients are refused, instead of never answered


async def _keep(
    number: int, arguments: tuple[Settings, str, str, socket.socket | None], stop: asyncio.Event
) -> None:
    log = telemetry.logger("supervisor").bind(process=number)
    loop = asyncio.get_running_loop()
    pause = FIRST_PAUSE
    while not stop.is_set():
        child = multiprocessing.get_context("spawn").Process(
            target=child_main,
            args=arguments,
            name=f"angarium-{number}",
            daemon=True,  # should the parent fail, it ends them instead of waiting for them
        )
        child.start()
        started = loop.time()
        log.info("process.started", pid=child.pid)
        with _ended(child) as ended:
            await _first_of(ended, stop)
            if stop.is_set():
                await _end(child, ended)
                return
        child.join()
        pause = FIRST_PAUSE if loop.time() - started > HEALTHY else min(pause * 2, LONGEST_PAUSE)
        log.error("process.died", pid=child.pid, exit_code=child.exitcode, again_in=pause)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), pause)


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
    """The whole life of one child."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent passes it on
    telemetry.configure(settings.log_format, settings.log_level)
    process.run(_child(settings, database_url, role, listener))


async def _child(settings: Settings, database_url: str, role: str, listener: socket.socket | None) -> None:
    stop = process.stop_signal(signal.SIGTERM)
    parent = multiprocessing.parent_process()
    if parent is not None:
        asyncio.get_running_loop().add_reader(parent.sentinel, stop.set)
    await process.work(settings, database_url, role, listener, stop, lambda: None)
