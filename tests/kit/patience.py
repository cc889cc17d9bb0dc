"""Waiting until something holds. One patience for all tests: none is about how quick this machine is."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any

PATIENCE = 90.0  # seconds: far more than anything takes, for a machine that is busy with something else
BREAK = 0.02
SLOW = 0.25  # for a look that asks a server for all its metrics, or at what takes seconds


async def until(
    holds: Callable[[], Any], what: str = "", timeout: float = PATIENCE, pause: float = BREAK
) -> float:
    """Wait until the condition, perhaps an async one, holds; gives the seconds that took. `pause`:
    the seconds between two looks, more for a condition that is work to look at."""
    started = time.monotonic()
    while True:
        held = holds()
        if inspect.isawaitable(held):
            held = await held
        if held:
            return time.monotonic() - started
        _still(started, what, timeout)
        await asyncio.sleep(pause)


def wait_until(holds: Callable[[], Any], what: str = "", timeout: float = PATIENCE) -> Any:
    """The same where no loop runs; gives what held."""
    started = time.monotonic()
    while not (held := holds()):
        _still(started, what, timeout)
        time.sleep(BREAK)
    return held


def _still(started: float, what: str, timeout: float) -> None:
    assert time.monotonic() - started < timeout, f"it did not come to that in time: {what or 'see the stack'}"
