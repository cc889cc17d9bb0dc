"""The faults of the storm. Each starts, lasts for some time, and is repaired when its context is left.

Where the context is entered, a moment after it struck, the account asks what is in flight. `repeats` says
whether that may arrive twice; with the other faults nothing may.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import resource
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from angarium.store.embedded import EmbeddedPostgres
from tests.faults.cluster import Cluster
from tests.faults.harness import AWAY, LONG, Server, shared_by
from tests.kit.patience import SLOW, until, wait_until
from tests.kit.process import family, runs

TAKEOVER: Final = 30.0
"""Seconds until another dispatcher has all lanes of one that is silent but not dead: it is evicted
after 10. A request to an endpoint has 6 here, and the silent one stops by itself before it is evicted."""
HOUR: Final = 3600.0

Strike = Callable[[Cluster, random.Random], AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class Fault:
    name: str
    strike: Strike
    where: str  # process, database or host
    repeats: bool  # what was in flight may arrive twice
    short: bool  # also part of the short version


FAULTS: Final[dict[str, Fault]] = {}


def fault(
    name: str, where: str, *, repeats: bool, short: bool = True
) -> Callable[[Callable[..., AsyncIterator[None]]], None]:
    def named(function: Callable[..., AsyncIterator[None]]) -> None:
        FAULTS[name] = Fault(name, contextlib.asynccontextmanager(function), where, repeats, short)

    return named


# processes


@fault("kill -9 of an API process", "process", repeats=False)
async def kill_api(cluster: Cluster, chance: random.Random) -> AsyncIterator[None]:
    place = chance.randrange(2)
    await cluster.apis[place].kill()
    yield
    cluster.start_api(place)


# short: test_kill.py has it
@fault("kill -9 of a dispatcher", "process", repeats=True, short=False)
async def kill_dispatcher(cluster: Cluster, chance: random.Random) -> AsyncIterator[None]:
    """The other one takes its lanes over."""
    place = chance.randrange(2)
    await cluster.dispatchers[place].kill()
    yield
    await shared_by(cluster.url, 1, TAKEOVER)
    cluster.start_dispatcher(place)


@fault("kill -9 of all processes at once", "process", repeats=True, short=False)
async def kill_all(cluster: Cluster, chance: random.Random) -> AsyncIterator[None]:
    await _kill_all(cluster)
    yield
    cluster.start_all()


# short: test_kill.py has it
@fault("kill -9 of all, and PostgreSQL stopped at once", "process", repeats=True, short=False)
async def kill_everything(cluster: Cluster, chance: random.Random) -> AsyncIterator[None]:
    await _kill_all(cluster)
    yield
    await cluster.stop_postgres(signal.SIGQUIT)
    await cluster.start_postgres()
    cluster.start_all()


# short: the rolling restart ends both dispatchers so
@fault("SIGTERM of a dispatcher", "process", repeats=False, short=False)
async def stop_dispatcher(cluster: Cluster, chance: random.Random) -> AsyncIterator[None]:
    place = chance.randrange(2)
    assert await cluster.dispatchers[place].terminate() == 0
    yield
    cluster.start_dispatcher(place)


ROLLING: Final = "SIGTERM of each process in turn, a rolling restart"


# short: test_rolling.py has it, behind a proxy
@fault(ROLLING, "process", repeats=False, short=False)
async def rolling_restart(cluster: Cluster, chance: random.Random) -> AsyncIterator[None]:
    """No request may fail: see Cluster._send for what the client does."""
    for place in range(2):
        stopping = (cluster.apis[place].terminate(), cluster.dispatchers[place].terminate())
        assert not any(await asyncio.gather(*stopping))
        cluster.start_api(place)
        cluster.start_dispatcher(place)
        await cluster.ready()
    yield


async def _kill_all(cluster: Cluster) -> None:
    everyone: list[Server] = [*cluster.apis, *cluster.dispatchers]
    for server in everyone:
        server.process.kill()
    for server in everyone:
        await server.kill()


# the database


@fault("PostgreSQL stopped at once and started again", "database", repeats=True)
async def crash_postgres(cluster: Cluster, chance: random.Random) -> AsyncIterator[None]:
    await cluster.stop_postgres(signal.SIGQUIT)
    await asyncio.sleep(chance.uniform(0.0, 1.0))
    yield
    await cluster.start_postgres()


@fault("PostgreSQL restarted in order", "database", repeats=True)
async def restart_postgres(cluster: Cluster, chance: random.Random) -> AsyncIterator[None]:
    await cluster.stop_postgres(signal.SIGINT)
    yield
    await cluster.start_postgres()


@fault("all connections to PostgreSQL cut", "database", repeats=True)
async def cut_connections(cluster: Cluster, chance: random.Random) -> AsyncIterator[None]:
    await cluster.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'angarium%'"
    )
    yield


@fault("every statement times out", "database", repeats=True)
async def statement_timeouts(cluster: Cluster, chance: random.Random) -> AsyncIterator[None]:
    await cluster.execute("alter system set statement_timeout = '1ms'", "select pg_reload_conf()")
    await asyncio.sleep(1.5)
    yield
    await cluster.execute("alter system reset statement_timeout", "select pg_reload_conf()")


@fault("the tables locked by another session", "database", repeats=False)
async def locked_tables(cluster: Cluster, chance: random.Random) -> AsyncIterator[None]:
    await cluster.execute(
        "begin; lock table delivery, message in access exclusive mode; select pg_sleep(2); commit"
    )
    yield


@fault("a slow disk: every commit takes 100 ms more", "database", repeats=False)
async def slow_disk(cluster: Cluster, chance: random.Random) -> AsyncIterator[None]:
    await cluster.execute(
        "alter system set commit_delay = 100000",
        "alter system set commit_siblings = 0",
        "select pg_reload_conf()",
    )
    await asyncio.sleep(2)
    yield
    await cluster.execute(
        "alter system reset commit_delay", "alter system reset commit_siblings", "select pg_reload_conf()"
    )


@fault("PostgreSQL stands still for 3 s", "database", repeats=False)
async def frozen_postgres(cluster: Cluster, chance: random.Random) -> AsyncIterator[None]:
    cluster.signal_postgres(signal.SIGSTOP)
    try:
        await asyncio.sleep(3)
    finally:
        cluster.signal_postgres(signal.SIGCONT)
    yield


# hosts


@fault("a dispatcher paused for longer than any timeout", "host", repeats=True)
async def paused_dispatcher(cluster: Cluster, chance: random.Random) -> AsyncIterator[None]:
    paused = cluster.dispatchers[0].process
    paused.send_signal(signal.SIGSTOP)
    try:
        yield
        await shared_by(cluster.url, 1, TAKEOVER)
    finally:
        paused.send_signal(signal.SIGCONT)


PARTITION: Final = "a partition between one dispatcher and PostgreSQL"


# short: test_namespace.py has it
@fault(PARTITION, "host", repeats=True, short=False)
async def partition(cluster: Cluster, chance: random.Random) -> AsyncIterator[None]:
    cluster.network.part()
    try:
        yield
        await shared_by(cluster.url, 1, TAKEOVER)
    finally:
        cluster.network.mend()


@fault("the hosts' clocks jump by an hour, on and back", "host", repeats=False)
async def clock_jumps(cluster: Cluster, chance: random.Random) -> AsyncIterator[None]:
    """Also for processes that start while the clock is wrong."""
    for ahead in (HOUR, -HOUR):
        cluster.lead_astray(clock=ahead)
        assert await cluster.dispatchers[0].terminate() == 0
        cluster.start_dispatcher(0)
        await cluster.until_accepted(20 if LONG else 10)
        await cluster.ready()
    yield
    cluster.lead_astray()


# short: tests/dispatch/test_our_faults.py has it, in one process
@fault("DNS dead, with nothing remembered", "host", repeats=False, short=False)
async def dead_dns(cluster: Cluster, chance: random.Random) -> AsyncIterator[None]:
    await _with_dns(cluster, "dead")
    yield
    cluster.lead_astray()


@fault("DNS slower than the request timeout, with nothing remembered", "host", repeats=False)
async def slow_dns(cluster: Cluster, chance: random.Random) -> AsyncIterator[None]:
    await _with_dns(cluster, "slow")
    yield
    cluster.lead_astray()


async def _with_dns(cluster: Cluster, how: str) -> None:
    """Dispatchers that have just started remember no name."""
    cluster.lead_astray(dns=how)
    for place in range(2):
        assert await cluster.dispatchers[place].terminate() == 0
        cluster.start_dispatcher(place)
    await cluster.until_accepted(50 if LONG else 15)
    await cluster.ready()


DISK_FULL: Final = "the disk of PostgreSQL is full"
SMALL: Final = 1 << 20  # bytes; a file of PostgreSQL's log has 16 times as many


@fault(DISK_FULL, "host", repeats=True)
async def full_disk(cluster: Cluster, chance: random.Random) -> AsyncIterator[None]:
    """The data directory is on a disk of its own (`small_disk`), which a ballast fills. Where none could be
    mounted, PostgreSQL may make no file larger: its log cannot be written either way."""
    refused = cluster.refused["503"]
    with _filled(cluster.postgres):
        # what is there already is filled first
        await until(lambda: cluster.refused["503"] > refused, "the disk is full")
        await asyncio.sleep(1)
        yield

    async def back() -> bool:
        if not runs(cluster.postgres.pid):
            await cluster.start_postgres()
        with contextlib.suppress(*AWAY):
            return bool(await cluster.fetch("select 1"))
        return False

    await until(back, "PostgreSQL has room and is back", pause=SLOW)


@contextlib.contextmanager
def _filled(postgres: EmbeddedPostgres) -> Iterator[None]:
    ballast = postgres.directory / "ballast"
    mounted = postgres.directory.parent.is_mount()
    if mounted:
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(1 << 20)):
                pass
    else:
        _limit_files(postgres.pid, SMALL)
    try:
        yield
    finally:
        ballast.unlink(missing_ok=True)
        if not mounted:
            _limit_files(postgres.pid, resource.RLIM_INFINITY)


def _limit_files(pid: int, size: int) -> None:
    """For every process of PostgreSQL, those that it starts too. Its own user needs no right for it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        pids = [one.pid for one in family(pid)]
        user = {} if parent.uids().real == os.getuid() else {"user": parent.uids().real, "extra_groups": []}
        group = {"group": parent.gids().real} if user else {}

        def limit() -> None:
            for one in pids:
                with contextlib.suppress(ProcessLookupError):
                    _, hard = resource.prlimit(one, resource.RLIMIT_FSIZE)
                    resource.prlimit(one, resource.RLIMIT_FSIZE, (size, hard))

        subprocess.run(["true"], check=True, preexec_fn=limit, **user, **group)


@contextlib.contextmanager
def small_disk(directory: Path) -> Iterator[bool]:
    """Mounts a small disk of memory at `directory`; False where that is not permitted."""
    directory.mkdir()
    options = ("-t", "tmpfs", "-o", "size=512m,mode=755", "angarium-faults")
    mounted = shutil.which("mount") is not None and _done("mount", *options, str(directory))
    try:
        yield mounted
    finally:
        if mounted:
            # PostgreSQL's process for the log ends after PostgreSQL itself
            wait_until(lambda: _done("umount", str(directory)), "no process uses the small disk any more")


def _done(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
