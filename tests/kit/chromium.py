"""The Chromium that the browser tests drive: one this machine has, or one from its package manager.

Debian's headless shell comes first, the same engine without a desktop browser around it: the browser tests
took 0.58 of the processor time with it (150 s, 256 s with all of Chromium, two pairs).

    python -m tests.kit.chromium      find one, install one if there is none, print where it is

Looked for in this order: `ANGARIUM_TEST_CHROMIUM`, the usual names on PATH, macOS' place for Chrome, and
what Playwright may have kept; a program counts when it tells its version (Ubuntu's `chromium-browser` may be
a stub that does not). Playwright's own installer is never used: it downloads from outside the registries.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

SETTING = "ANGARIUM_TEST_CHROMIUM"
SHELL = "chromium-headless-shell"
NAMES = (SHELL, "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MACOS = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
KEPT = (  # below Playwright's cache; the newest of each is tried first
    "chromium_headless_shell-*/*/*headless*shell",
    "chromium-*/chrome-linux*/chrome",
    "chromium-*/chrome-mac*/*.app/Contents/MacOS/*",
)
FLAGS = (
    "--no-sandbox",  # as root, and in containers without user namespaces, there is none
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
VERSION_DEADLINE = 60.0
INSTALL_DEADLINE = 1200.0

Run = Callable[[Sequence[str]], bool]


class NoChromiumError(Exception):
    """There is none, and none could be installed."""


def find(environment: Mapping[str, str] = os.environ) -> Path:
    """The Chromium to use. Raises NoChromiumError, also when the one that was named does not work."""
    if named := environment.get(SETTING):
        if not works(Path(named)):
            raise NoChromiumError(f"{SETTING} names {named}, which is not a Chromium that runs")
        return Path(named)
    found = next((path for path in candidates(environment) if works(path)), None)
    if found is None:
        raise NoChromiumError(
            "the browser tests need Chromium, and there is none on this machine. `make test` installs it "
            "where apt-get may be used (as root, or through sudo without a password). Otherwise install "
            f"Chromium or Google Chrome by hand, or name one: {SETTING}=/path/to/chromium make test"
        )
    return found


def candidates(environment: Mapping[str, str]) -> Iterator[Path]:
    """Programs that may be a Chromium, best first."""
    path = environment.get("PATH", os.defpath)
    yield from (Path(found) for name in NAMES if (found := shutil.which(name, path=path)))
    if MACOS.exists():
        yield MACOS
    home = Path(environment.get("HOME", "/"))
    kept = environment.get("PLAYWRIGHT_BROWSERS_PATH")
    places = (Path(kept),) if kept else (home / ".cache/ms-playwright", home / "Library/Caches/ms-playwright")
    for cache in places:
        for pattern in KEPT:
            yield from sorted(cache.glob(pattern), reverse=True)


def works(program: Path) -> bool:
    """Whether it tells a version, as a Chromium does."""
    try:
        told = subprocess.run(
            (str(program), "--version"), capture_output=True, text=True, timeout=VERSION_DEADLINE, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return told.returncode == 0 and ("Chromium" in told.stdout or "Chrome" in told.stdout)


def install(
    environment: Mapping[str, str] = os.environ, *, root: bool | None = None, run: Run | None = None
) -> None:
    """Install a package with apt-get, as root or through sudo: Debian's headless shell, or Chromium where
    there is no such package. Raises NoChromiumError.

    `run` runs a command and tells whether it went well.
    """
    path = environment.get("PATH", os.defpath)
    prefix: tuple[str, ...] = () if (os.geteuid() == 0 if root is None else root) else ("sudo", "-n")
    for program in (*prefix[:1], "apt-get"):
        if shutil.which(program, path=path) is None:
            raise NoChromiumError(f"Chromium cannot be installed: there is no {program} here")
    apt = (*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=300")
    run = run or _run
    run((*apt, "-qq", "update"))  # a list that is out of date may still do
    one = (*apt, "-qq", "-y", "--no-install-recommends", "install")
    if not run((*one, SHELL)) and not run((*one, "chromium")):
        raise NoChromiumError("Chromium cannot be installed: apt-get did not manage it (see above)")


def ensure(environment: Mapping[str, str] = os.environ) -> Path:
    """The Chromium to use, installed if there was none. Raises NoChromiumError."""
    try:
        return find(environment)
    except NoChromiumError as missing:
        if environment.get(SETTING):
            raise
        print("installing Chromium for the browser tests ...", file=sys.stderr)  # noqa: T201
        try:
            install(environment)
        except NoChromiumError as failed:
            raise NoChromiumError(f"{failed}\n{missing}") from None
        return find(environment)


def _run(command: Sequence[str]) -> bool:
    try:
        # what it prints goes to stderr: stdout is for the path
        done = subprocess.run(command, stdout=sys.stderr, timeout=INSTALL_DEADLINE, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


if __name__ == "__main__":
    try:
        print(ensure())  # noqa: T201
    except NoChromiumError as error:
        sys.exit(str(error))
