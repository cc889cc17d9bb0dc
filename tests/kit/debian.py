"""Programs of Debian's packages that tests need beside the locked ones: found, or installed.

    python -m tests.kit.debian      install what is missing

A missing program is an error that says what to install: nothing is skipped in silence.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

POSTGRESQL_15: Final = Path("/usr/lib/postgresql/15/bin")
FAKETIME: Final = Path("/usr/lib") / f"{os.uname().machine}-linux-gnu" / "faketime/libfaketime.so.1"
PACKAGES: Final = {
    "pgbouncer": "pgbouncer",
    "haproxy": "haproxy",
    str(POSTGRESQL_15 / "postgres"): "postgresql-15",
    str(FAKETIME): "faketime",
    "systemd-analyze": "systemd",
}
ON_DEMAND: Final = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "pgbackrest": "pgbackrest",
}
"""What `make image-check`, `make systemd-check` and `make drill` need beside these."""
SERVICES: Final = {"etcd": "etcd-server", "patroni": "patroni"}
"""What `make failover` needs beside PostgreSQL. Not installed here, for these packages start services."""
UNPACKED: Final = {
    "prometheus": "prometheus", "promtool": "prometheus", "amtool": "prometheus-alertmanager"
}  # fmt: skip
"""Programs that are unpacked from their packages, which would start a service if they were installed."""
_UNPACK_TO: Final = Path(sys.prefix) / "debian"
_SYSTEM: Final = "/usr/local/sbin:/usr/sbin:/sbin"
_INSTALL_DEADLINE: Final = 1200.0


class MissingProgramError(Exception):
    """A program is missing, and cannot be installed."""


def ensure(program: str) -> Path:
    """The path of a program or library of these packages, installed with apt-get if it is missing."""
    if (found := _found(program)) is not None:
        return found
    package = (PACKAGES | ON_DEMAND)[program]
    print(f"installing {package} for the tests ...", file=sys.stderr)  # noqa: T201
    prefix = () if os.geteuid() == 0 else ("sudo", "-n")
    apt = (
        *prefix,
        "env",
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "-o",
        "DPkg::Lock::Timeout=300",
        "-qq",
    )
    for command in ((*apt, "update"), (*apt, "-y", "--no-install-recommends", "install", package)):
        try:
            subprocess.run(command, stdout=sys.stderr, timeout=_INSTALL_DEADLINE, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            print(error, file=sys.stderr)  # noqa: T201
    if (found := _found(program)) is None:
        raise MissingProgramError(
            f"the tests need {program}, of Debian's package {package}, and it could not be installed; "
            "install it by hand, or run `make test` as root or with sudo without a password"
        )
    return found


def unpacked(program: str) -> Path:
    """The path of a program of `UNPACKED`, from its package if it is not installed."""
    package = UNPACKED[program]
    kept = _UNPACK_TO / package
    for _ in range(2):
        for found in (_found(program), kept / program):
            if found is not None and found.exists():
                return found
        print(f"unpacking {package} for the tests ...", file=sys.stderr)  # noqa: T201
        with tempfile.TemporaryDirectory() as name:
            for command in (
                ("apt-get", "-qq", "download", package),
                ("sh", "-c", "dpkg-deb -x *.deb unpacked"),
            ):
                subprocess.run(command, cwd=name, stdout=sys.stderr, timeout=_INSTALL_DEADLINE, check=False)
            if (programs := Path(name) / "unpacked/usr/bin").exists():
                shutil.copytree(programs, kept, dirs_exist_ok=True)
    raise MissingProgramError(
        f"the tests need {program}, of Debian's package {package}, and `apt-get download` did not get it; "
        "install it by hand"
    )


def services() -> list[Path]:
    """The programs of `SERVICES`, in that order."""
    found = [_found(program) for program in SERVICES]
    missing = [SERVICES[program] for program, path in zip(SERVICES, found, strict=True) if path is None]
    if missing:
        raise MissingProgramError(
            "the failover test needs more of Debian's packages: apt-get install --no-install-recommends "
            + " ".join(missing)
        )
    return [path for path in found if path is not None]


def _found(program: str) -> Path | None:
    path = f"{os.environ.get('PATH', os.defpath)}:{_SYSTEM}"
    found = shutil.which(program, path=path)
    if found is None and Path(program).is_absolute() and Path(program).exists():
        found = program  # a library
    return None if found is None else Path(found)


if __name__ == "__main__":
    try:
        for one in PACKAGES:
            print(ensure(one))  # noqa: T201
        for one in UNPACKED:
            print(unpacked(one))  # noqa: T201
    except MissingProgramError as error:
        sys.exit(str(error))
