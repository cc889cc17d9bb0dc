"""Tracks the deadlines of many exchanges with one timer for each timeout.

Most exchanges end long before their deadline, so a timer for each would be wasted. Deadlines with the same
timeout expire in the order in which they were added, so one timer, set for the first, is enough.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Deadlines(Generic[T]):
    """Calls `expired` with each item that is not removed within its timeout. Items must be hashable."""

    def __init__(self, expired: Callable[[T], None]) -> None:
        self._expired = expired
        self._loop = asyncio.get_running_loop()
        self._kinds: dict[float, _Kind[T]] = {}

    def add(self, item: T, timeout: float) -> None:
        """Start a deadline `timeout` seconds from now."""
        kind = self._kinds.get(timeout)
        if kind is None:
            kind = self._kinds[timeout] = _Kind()
        at = kind.items[item] = self._loop.time() + timeout
        if kind.timer is None:
            kind.timer = self._loop.call_at(at, self._ring, kind)

    def remove(self, item: T, timeout: float) -> None:
        """Remove the deadline of an item, if there is one."""
        kind = self._kinds.get(timeout)
        if kind is not None:
            kind.items.pop(item, None)

    def close(self) -> None:
        """Remove all deadlines."""
        for kind in self._kinds.values():
            kind.items.clear()
            if kind.timer is not None:
                kind.timer.cancel()
        self._kinds.clear()

    def _ring(self, kind: _Kind[T]) -> None:
        kind.timer = None
        now = self._loop.time()
        due = []
        for item, at in kind.items.items():
            if at > now:
                kind.timer = self._loop.call_at(at, self._ring, kind)
                break
            due.append(item)
        for item in due:
            del kind.items[item]
        for item in due:
            self._expired(item)


class _Kind(Generic[T]):
    """Items with the same timeout and the loop's time at which each expires, in order."""

    __slots__ = ("items", "timer")

    def __init__(self) -> None:
        self.items: dict[T, float] = {}
        self.timer: asyncio.TimerHandle | None = None
