"""Deadlines of many exchanges under way, without a timer for each: most end long before theirs.

Those with the same timeout end in the order in which they began, so one timer for all of them suffices: it
is set for the first, and when it comes, for the first that is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Deadlines(Generic[T]):
    """Calls `expired` with what is not removed within its timeout. Items are told apart by hash."""

    def __init__(self, expired: Callable[[T], None]) -> None:
        self._expired = expired
        self._loop = asyncio.get_running_loop()
        self._kinds: dict[float, _Kind[T]] = {}

    def add(self, item: T, timeout: float) -> None:
        """`timeout` in seconds from now."""
        kind = self._kinds.get(timeout)
        if kind is None:
            kind = self._kinds[timeout] = _Kind()
        at = kind.items[item] = self._loop.time() + timeout
        if kind.timer is None:
            kind.timer = self._loop.call_at(at, self._ring, kind)

    def remove(self, item: T, timeout: float) -> None:
        """It ended; nothing happens when it is not there any more."""
        kind = self._kinds.get(timeout)
        if kind is not None:
            kind.items.pop(item, None)

    def close(self) -> None:
        """Forget all."""
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
    """What has the same timeout, with the loop's time at which it ends, in that order."""

    __slots__ = ("items", "timer")

    def __init__(self) -> None:
        self.items: dict[T, float] = {}
        self.timer: asyncio.TimerHandle | None = None
