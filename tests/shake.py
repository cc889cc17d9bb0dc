"""Delays where parts meet, to find what holds only because this machine is quick.

    make shake                                                  every kind, one after the other
    python -m pytest -p tests.shake --shake settle tests/api    one kind

An unlucky moment of a busy machine is made the rule: whatever then fails leans on an order that nothing
ensures, a test's or the product's own. Processes that a test starts are not shaken.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from angarium.dispatch.ownership import Ownership
from angarium.dispatch.settler import Settler
from angarium.store.database import Database
from angarium.store.sql import _OnConnection
from tests.kit.receiver import Receiver

OFTEN, SELDOM = 0.04, 0.1  # seconds at most, by how often something is late


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shake", choices=sorted(KINDS), help="what is to be late")


def pytest_configure(config: pytest.Config) -> None:
    if kind := config.getoption("--shake"):
        KINDS[kind]()


def caller() -> None:
    """What a test calls has long happened, and gone on, when the test hears of it."""
    _wrap(httpx.AsyncClient, "request", _late_after(SELDOM))
    _wrap(Receiver, "wait_for", _late_after(SELDOM))


def settle() -> None:
    """What receivers answered is long in memory before it is in the database."""
    _wrap(Settler, "_write", _late_before(SELDOM))


def connection() -> None:
    """Everything waits for its connection, and others come first."""
    for name in ("connection", "transaction"):
        _wrap(Database, name, _entered_late)


def answer() -> None:
    """What the database says is old when it arrives, and so are hints."""
    _wrap(_OnConnection, "select", _rows_late)
    for name in ("select_one", "select_value", "insert_update_delete"):
        _wrap(_OnConnection, name, _late_after(OFTEN))
    _wrap(Ownership, "_on_hint", _called_late)


KINDS: dict[str, Callable[[], None]] = {one.__name__: one for one in (caller, settle, connection, answer)}


def _wrap(owner: type, name: str, wrapper: Callable[[Any], Any]) -> None:
    setattr(owner, name, wrapper(getattr(owner, name)))


async def _pause(longest: float) -> None:
    await asyncio.sleep(random.uniform(0, longest))


def _late_after(longest: float) -> Callable[[Any], Any]:
    def wrapper(function: Any) -> Any:
        async def late(*arguments: Any, **named: Any) -> Any:
            result = await function(*arguments, **named)
            await _pause(longest)
            return result

        return late

    return wrapper


def _late_before(longest: float) -> Callable[[Any], Any]:
    def wrapper(function: Any) -> Any:
        async def late(*arguments: Any, **named: Any) -> Any:
            await _pause(longest)
            return await function(*arguments, **named)

        return late

    return wrapper


def _rows_late(select: Any) -> Any:
    async def late(*arguments: Any, **named: Any) -> AsyncIterator[Any]:
        rows = [row async for row in select(*arguments, **named)]
        await _pause(OFTEN)
        for row in rows:
            yield row

    return late


def _entered_late(enter: Any) -> Any:
    @asynccontextmanager
    async def late(*arguments: Any, **named: Any) -> AsyncIterator[Any]:
        await _pause(OFTEN)
        async with enter(*arguments, **named) as entered:
            yield entered

    return late


def _called_late(function: Any) -> Any:
    def late(*arguments: Any) -> None:
        asyncio.get_running_loop().call_later(random.uniform(0, OFTEN), function, *arguments)

    return late
