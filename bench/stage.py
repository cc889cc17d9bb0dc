"""Finds which stage of a delivery uses the server's CPU time, by sampling with py-spy under load.

A sample belongs to the innermost frame that names a stage. Code that many stages use (core, msgspec, logging)
names none, so its time counts for its caller.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

RATE: Final = 100  # samples a second
STAGES: Final = ("intake", "database", "dispatch", "send", "complete", "event loop and others")
_RULES: Final = (
    ("angarium/store/", "database"),
    ("asyncpg/", "database"),
    ("angarium/dispatch/completer.py", "complete"),
    ("angarium/dispatch/stats_recorder.py", "complete"),
    ("angarium/dispatch/request_builder.py", "send"),
    ("angarium/dispatch/transport/", "send"),
    ("angarium/dispatch/target.py", "send"),
    ("aiohappyeyeballs/", "send"),
    ("angarium/dispatch/", "dispatch"),
    ("angarium/core/lane.py", "dispatch"),
    ("angarium/core/lane_queue.py", "dispatch"),
    ("angarium/core/rate.py", "dispatch"),
    ("angarium/core/allowance.py", "dispatch"),
    ("angarium/api/", "intake"),
    ("angarium/server/protocol.py", "intake"),
    ("angarium/service/", "intake"),
    ("angarium/portal/", "intake"),
    ("starlette/", "intake"),
    ("fastapi/", "intake"),
    ("uvicorn/", "intake"),
    ("httptools/", "intake"),
)
_FILE: Final = re.compile(r"\((.*?)(?::\d+)?\)$")


def profiler() -> str | None:
    """Where py-spy is; `make bench` installs it aside."""
    aside = Path(sys.prefix) / "bench/bin/py-spy"
    return str(aside) if aside.exists() else shutil.which("py-spy")


def stage_of(stack: Sequence[str]) -> str:
    """The stage of one stack of frames (`name (file:line)`), outermost first."""
    for frame in reversed(stack):
        found = _FILE.search(frame)
        path = found[1] if found else frame
        if "uvicorn/server.py" in path:  # below everything
            continue
        for part, stage in _RULES:
            if part in path:
                return stage
    return STAGES[-1]


def shares(raw: str) -> dict[str, float]:
    """The share of each stage in py-spy's raw output."""
    counted: Counter[str] = Counter()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        if stack and count.isdigit():
            counted[stage_of(stack.split(";"))] += int(count)
    total = counted.total() or 1
    return {stage: counted[stage] / total for stage in STAGES}


async def sample(pids: Sequence[int], seconds: float, keep: Path | None = None) -> Mapping[str, float]:
    """Watch a server's workers for so long. Empty without py-spy, or where it may not watch.

    `keep`: where to put the raw stacks, which flame graphs are made of.
    """
    program = profiler()
    if program is None:
        return {}
    with tempfile.TemporaryDirectory(prefix="angarium-stage-") as name:
        outputs = [Path(name) / str(pid) for pid in pids]
        watchers = [
            await asyncio.create_subprocess_exec(
                program, "record", "--pid", str(pid), "--duration", str(max(1, round(seconds))),
                "--rate", str(RATE), "--nonblocking", "--format", "raw", "--output", str(output),
                stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
            )
            for pid, output in zip(pids, outputs, strict=True)
        ]  # fmt: skip
        try:
            for watcher in watchers:
                await asyncio.wait_for(watcher.wait(), seconds + 60)
        finally:
            for watcher in watchers:
                if watcher.returncode is None:
                    watcher.kill()
                    await watcher.wait()
        raw = _together(outputs, keep)
    return shares(raw) if raw else {}


def _together(outputs: Sequence[Path], keep: Path | None) -> str:
    raw = "".join(output.read_text() for output in outputs if output.exists())
    if keep is not None:
        keep.write_text(raw)
    return raw
