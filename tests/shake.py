"""Delays where parts meet, to find what holds only because this machine is quick.

    make shake                                                  every kind, one after the other
    python -m pytest -p tests.shake --shake complete tests/api    one kind

An unlucky moment of a busy machine is made the rule: whatever then fails leans on an order that nothing
ensures, a test's or the product's own. Delays reach only what runs in the tests' own processes; `freeze`
stops any process for some time, including those that a test starts and PostgreSQL's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import psutil
import pytest

from angarium.dispatch.completer import Completer
from angarium.dispatch.ownership import Ownership
from angarium.store.database import Database
from angarium.store.sql import _OnConnection
from tests.kit.receiver import Receiver

OFTEN, SELDOM, FROZEN = 0.04, 0.1, 1.0  # seconds at most, by how often something is late
AT_ONCE = 3  # processes that stand still
_MARK, _over = "SHAKEN_BY", threading.Event()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shake", choices=sorted(KINDS), help="what is to be late")


def pytest_configure(config: pytest.Config) -> None:
    kind = config.getoption("--shake")
    if kind == "freeze" and hasattr(config, "workerinput"):
        return  # the process that started the workers sees to it
    if kind:
        KINDS[kind]()


def pytest_unconfigure() -> None:
    _over.set()  # nothing stays frozen


def caller() -> None:
    """What a test waits for has long happened, and more after it, when the test continues."""
    _wrap(httpx.AsyncClient, "request", _late_after(SELDOM))
    _wrap(Receiver, "wait_for", _late_after(SELDOM))


def complete() -> None:
    """What receivers answered is long in memory before it is in the database."""
    _wrap(Completer, "_write", _late_before(SELDOM))


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


def freeze() -> None:
    """One of the processes after the other stands still, in the middle of anything."""
    os.environ[_MARK] = str(os.getpid())
    for _ in range(AT_ONCE):
        threading.Thread(target=_freeze_one_after_the_other).start()


KINDS: dict[str, Callable[[], None]] = {
    one.__name__: one for one in (caller, complete, connection, answer, freeze)
}


def _freeze_one_after_the_other() -> None:
    while not _over.wait(OFTEN):
        for one in random.sample(family := _family(), min(len(family), 10)):
            with contextlib.suppress(psutil.NoSuchProcess):
                if one.status() != psutil.STATUS_STOPPED:  # by a test or another of these threads
                    one.suspend()
                    _over.wait(FROZEN * random.random() ** 2)
                    one.resume()


def _family() -> list[psutil.Process]:
    """Every descendant of this process. PostgreSQL is not one, but is recognized by its environment."""
    found = set[psutil.Process]()
    for one in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if one.environ().get(_MARK) == os.environ[_MARK]:
                found.update((one, *one.children(recursive=True)))
    return [one for one in found if one.pid != os.getpid()]


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
