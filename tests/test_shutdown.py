"""When a stop begins, closes and ends, and what hurries it."""

from __future__ import annotations

import asyncio
import time

import pytest

from angarium import shutdown as module
from angarium.shutdown import Shutdown
from tests.kit.patience import PATIENCE


async def test_it_closes_after_the_delay() -> None:
    shutdown = Shutdown(PATIENCE, 0.2)
    waiting = asyncio.create_task(shutdown.delayed())
    shutdown.signal()
    begun = time.monotonic()
    await waiting
    assert time.monotonic() - begun >= 0.19
    assert shutdown.closing.is_set()


async def test_a_second_signal_ends_the_delay_and_shortens_every_wait() -> None:
    shutdown = Shutdown(1000.0, 500.0)
    shutdown.signal()
    assert shutdown.left > 900
    waiting = asyncio.create_task(shutdown.delayed())

    async def attempt() -> None:
        async with shutdown.within(800.0, reserve=module.HURRY):
            await asyncio.Event().wait()

    attempting = asyncio.create_task(attempt())
    await asyncio.sleep(0)
    assert not shutdown.closing.is_set()
    shutdown.signal()
    await asyncio.wait_for(waiting, PATIENCE)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(attempting, PATIENCE)
    assert shutdown.left <= module.HURRY


async def test_a_wait_leaves_the_reserve_before_the_end() -> None:
    shutdown = Shutdown(0.3)
    shutdown.begin()
    with pytest.raises(TimeoutError):
        async with shutdown.within(100.0, reserve=0.2):
            await asyncio.Event().wait()
    assert 0 < shutdown.left <= 0.2


async def test_a_wait_that_begins_too_late_does_not_wait() -> None:
    shutdown = Shutdown(0.0)
    shutdown.begin()
    with pytest.raises(TimeoutError):
        async with shutdown.within(100.0):
            await asyncio.Event().wait()
    assert shutdown.left == 0


async def test_without_a_signal_only_the_own_limit_counts() -> None:
    shutdown = Shutdown(0.0)
    async with shutdown.within(100.0):
        await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        async with shutdown.within(0.01):
            await asyncio.Event().wait()


async def test_a_signal_that_is_not_the_first_does_not_move_the_end_back() -> None:
    shutdown = Shutdown(1.0)
    shutdown.signal()
    shutdown.signal()
    assert shutdown.left <= 1.0
