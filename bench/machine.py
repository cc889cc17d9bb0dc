"""Describes what the results were measured on: the machine, the commit, the versions."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
PACKAGES: Final = ("uvicorn", "uvloop", "aiohttp", "asyncpg", "celery", "requests")


@dataclass(frozen=True, slots=True)
class Machine:
    processor: str
    cores: int
    gigabytes: float
    system: str
    python: str
    packages: str
    commit: str
    date: str
    load: float  # of the machine before the first measure; anything above a few tenths spoils the numbers

    def markdown(self) -> str:
        return (
            f"{self.processor}, {self.cores} cores, {self.gigabytes:.0f} GB, {self.system}; "
            f"Python {self.python}, {self.packages}; commit {self.commit}; {self.date}; "
            f"load before: {self.load:.1f}\n"
        )


def here() -> Machine:
    return Machine(
        processor=_field("/proc/cpuinfo", "model name") or platform.machine(),
        cores=os.cpu_count() or 1,
        gigabytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9,
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        packages=", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES),
        commit=_commit(),
        date=f"{datetime.now(UTC):%d %B %Y}".lstrip("0"),
        load=os.getloadavg()[0],
    )


def _field(path: str, name: str) -> str:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def _commit() -> str:
    """The commit, and whether the package differs from it."""

    def git(*arguments: str) -> str:
        done = subprocess.run(("git", *arguments), cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    changed = " and changes" if git("status", "--porcelain", "--", "src") else ""
    return (git("rev-parse", "--short", "HEAD") or "unknown") + changed
