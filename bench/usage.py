"""Reads what processes use from /proc: CPU time, memory, and how often they wake."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.kit import process

_TICK: Final = os.sysconf("SC_CLK_TCK")
Group = Callable[[], Iterable[int]]


def family(*pids: int) -> list[int]:
    """The processes and all they have started."""
    return [one.pid for pid in pids for one in process.family(pid)]


def cpu_seconds(pids: Iterable[int]) -> float:
    """Of the processes and of those among their children that have ended."""
    ticks = 0
    for text in _read(pids, "stat"):
        fields = text.rpartition(")")[2].split()
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / _TICK


def megabytes(pids: Iterable[int]) -> float:
    """Memory, where pages that processes share are counted once (PSS)."""
    kilobytes = 0
    for text in _read(pids, "smaps_rollup"):
        kilobytes += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return kilobytes / 1024


def wakes(pids: Iterable[int]) -> int:
    """How often threads waited and were woken."""
    count = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for thread in Path(f"/proc/{pid}/task").iterdir():
                lines = (thread / "status").read_text().splitlines()
                count += sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt"))
    return count


def _read(pids: Iterable[int], name: str) -> Iterator[str]:
    for pid in pids:
        with contextlib.suppress(OSError):  # it has ended, and its parent counts it
            yield Path(f"/proc/{pid}/{name}").read_text()


@dataclass
class Meter:
    """CPU seconds of named groups since it was made."""

    _groups: Mapping[str, Group]
    _before: dict[str, float]

    @classmethod
    def of(cls, groups: Mapping[str, Group]) -> Meter:
        return cls(groups, {name: cpu_seconds(pids()) for name, pids in groups.items()})

    def spent(self) -> dict[str, float]:
        return {name: cpu_seconds(pids()) - self._before[name] for name, pids in self._groups.items()}
