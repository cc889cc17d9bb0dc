"""Deadlines: what is not removed in time expires, once, and in order; what is removed never does."""

from __future__ import annotations

import asyncio

from angarium.dispatch.transport.deadline import Deadlines
from tests.kit.patience import PATIENCE


async def expired_of(deadlines: list[tuple[str, float]], removed: set[str]) -> list[str]:
    """Add all, remove some; gives what expired until everything else did."""
    expired: list[str] = []
    over = asyncio.Event()

    def expire(name: str) -> None:
        expired.append(name)
        if len(expired) == len(deadlines) - len(removed):
            over.set()

    running: Deadlines[str] = Deadlines(expire)
    for name, timeout in deadlines:
        running.add(name, timeout)
    for name, timeout in deadlines:
        if name in removed:
            running.remove(name, timeout)
    async with asyncio.timeout(PATIENCE):
        await over.wait()
    await asyncio.sleep(0.2)  # whatever expired twice, or in spite of being removed, does so now
    running.close()
    return expired


async def test_deadlines_expire_once_and_in_order() -> None:
    names = [(f"{n}", 0.1) for n in range(50)]
    assert await expired_of(names, set()) == [name for name, _ in names]


async def test_a_removed_deadline_does_not_expire_and_does_not_hide_later_ones() -> None:
    names = [("first", 0.05), ("second", 0.05), ("third", 0.1), ("fourth", 0.05)]
    assert sorted(await expired_of(names, {"first", "fourth"})) == ["second", "third"]


async def test_deadlines_expire_on_time_independent_of_longer_ones() -> None:
    loop = asyncio.get_running_loop()
    due: dict[str, float] = {}
    at: dict[str, float] = {}
    over = asyncio.Event()

    def expire(name: str) -> None:
        at[name] = loop.time()
        if len(at) == 3:
            over.set()

    running: Deadlines[str] = Deadlines(expire)

    def add(name: str, timeout: float) -> None:
        due[name] = loop.time() + timeout
        running.add(name, timeout)

    add("long", 600)
    add("a", 0.15)
    await asyncio.sleep(0.05)
    add("b", 0.15)
    add("c", 0.02)
    async with asyncio.timeout(PATIENCE):
        await over.wait()
    running.close()
    assert sorted(at) == ["a", "b", "c"]
    order = list(at)
    assert order.index("a") < order.index("b")
    # other timeouts have a queue of their own; a pause between the two may make "c" the later one
    assert (order.index("c") < order.index("a")) == (due["c"] < due["a"])
    assert all(at[name] >= due[name] for name in at)


async def test_nothing_expires_after_the_close() -> None:
    expired: list[str] = []
    running: Deadlines[str] = Deadlines(expired.append)
    running.add("a", 0.02)
    running.close()
    running.remove("a", 0.02)
    await asyncio.sleep(0.1)
    assert not expired
