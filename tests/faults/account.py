"""What came of a fault: counts, and the one table that a run prints of them.

A test reports lines; `conftest.py` takes them along with the test's result, also from another process, and
prints the table when all is done.
"""

from __future__ import annotations

import platform
import subprocess
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.kit.receiver import Received, Receiver


@dataclass(frozen=True)
class Account:
    """Deliveries: each accepted message has one for each endpoint. `delivered` and `lost` count
    deliveries."""

    accepted: int
    delivered: int
    duplicates: int
    lost: int


@dataclass(frozen=True)
class Line:
    """One line of the table; `more` is said beside it."""

    fault: str
    cycles: int
    account: Account
    more: dict[str, str] = field(default_factory=dict)


LINES: list[Line] = []
"""Reported in this process and not yet taken along."""


def report(fault: str, cycles: int, result: Account, **more: object) -> None:
    """One line of the table."""
    said = {name.replace("_", " "): str(value) for name, value in more.items()}
    LINES.append(Line(fault, cycles, result, said))


def message_id(request: Received) -> str:
    found = request.header("webhook-id")
    assert found is not None
    return found


def account(accepted: set[str], *receivers: Receiver, paths: Sequence[str] = ("/hook",)) -> Account:
    """Every path of every receiver is an endpoint. What was stored without an answer may arrive too."""
    counts: dict[tuple[int, str], Counter[str]] = {
        (n, path): Counter() for n in range(len(receivers)) for path in paths
    }
    for n, receiver in enumerate(receivers):
        for request in receiver.requests:
            counts[n, request.path][message_id(request)] += 1
    return Account(
        accepted=len(accepted),
        delivered=sum(len(accepted & count.keys()) for count in counts.values()),
        duplicates=sum(count.total() - len(count) for count in counts.values()),
        lost=sum(len(accepted - count.keys()) for count in counts.values()),
    )


def to_wire(line: Line) -> dict[str, Any]:
    return asdict(line)


def from_wire(data: dict[str, Any]) -> Line:
    return Line(data["fault"], data["cycles"], Account(**data["account"]), data["more"])


def table(lines: Iterable[Line]) -> str:
    """The table in Markdown, with the machine and the commit."""
    rows = [
        "| fault | cycles | accepted | delivered | duplicates | lost |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    notes = []
    for line in lines:
        one = line.account
        rows.append(
            f"| {line.fault} | {line.cycles} | {one.accepted} | {one.delivered} "
            f"| {one.duplicates} | {one.lost} |"
        )
        if line.more:
            notes.append(
                f"- {line.fault}: " + ", ".join(f"{name} {value}" for name, value in line.more.items())
            )
    return "\n".join([f"{machine()}, commit {commit()}", "", *rows, "", *notes])


def machine() -> str:
    """Processor, cores, memory, kernel."""
    cpu = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor() or "unknown processor",
    )
    cores = sum(line.startswith("processor") for line in _lines("/proc/cpuinfo"))
    memory = next((int(line.split()[1]) for line in _lines("/proc/meminfo")), 0)
    return f"{cpu}, {cores} cores, {memory / 1024**2:.0f} GiB, {platform.system()} {platform.release()}"


def commit() -> str:
    """The commit that was tested, and whether files differed from it."""
    try:
        head = subprocess.run(
            ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip()


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
