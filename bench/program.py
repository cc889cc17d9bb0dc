"""Finds external programs: on PATH, or installed as a Debian package if that is allowed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import Final

PACKAGES: Final = {"wrk": "wrk", "nginx": "nginx-light"}
INSTALL_DEADLINE: Final = 600.0
PATH: Final = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))


class NoProgramError(Exception):
    """It is not there, and could not be installed."""


def find(name: str) -> str | None:
    return shutil.which(name, path=PATH)


def ensure(name: str) -> str:
    """Where the program is, installed if it was not there. Raises NoProgramError."""
    if found := find(name):
        return found
    package = PACKAGES[name]
    print(f"installing {package} for the benchmark ...", file=sys.stderr)
    if os.geteuid() == 0 and find("apt-get"):
        _apt("update")
        _apt("install", "-y", "--no-install-recommends", package)
    if found := find(name):
        return found
    raise NoProgramError(
        f"the benchmark needs {name}, and there is none here; it is in the Debian package {package} "
        f"(installed by itself as root; otherwise: sudo apt-get install {package})"
    )


def _apt(*arguments: str) -> None:
    # a freshly installed nginx must not start to serve by itself
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    command = ("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", *arguments)
    subprocess.run(command, stdout=sys.stderr, env=environment, timeout=INSTALL_DEADLINE, check=False)
