"""Inboxes and queues in memory, which record their calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from angarium.receiver import Inbox, Item, Key, Queue, Receiver, Taken


class MemoryInbox(Inbox):
    """Returns its items in order. `on_take` is called by each `take`, and may raise."""

    def __init__(self) -> None:
        self.waiting: list[Taken] = []
        self.calls: list[tuple[Any, ...]] = []
        self.tokens: list[str] = []
        self.on_take: Callable[[], Any] = lambda: None

    def put(self, key: Key, item: Item, *, now: float) -> bool:
        self.calls.append(("put", key, now))
        if any(taken.key == key for taken in self.waiting):
            return False
        self.waiting.append(Taken(key, "", item, 1))
        return True

    def take(self, source: str, token: str, *, lease: float, now: float) -> Taken | None:
        self.calls.append(("take", source, lease, now))
        self.tokens.append(token)
        self.on_take()
        return self.waiting.pop(0) if self.waiting else None

    def done(self, taken: Taken, *, ttl: float, now: float) -> None:
        self.calls.append(("done", taken.key.id, ttl, now))

    def failed(self, taken: Taken, error: str, *, due_at: float | None) -> None:
        self.calls.append(("failed", taken.key.id, error, due_at))


class MemoryQueue(Queue):
    """Keeps its items. The first `refusals` calls fail, as if the queue were unavailable."""

    def __init__(self, refusals: int = 0) -> None:
        self.items: list[Item] = []
        self.bound: list[Receiver] = []
        self._refusals = refusals

    def bind(self, receiver: Receiver) -> None:
        self.bound.append(receiver)

    def put(self, item: Item) -> None:
        if self._refusals:
            self._refusals -= 1
            raise ConnectionError("the queue is down")
        self.items.append(item)


class Nowhere(Queue):
    """For receivers that only process items of another one's queue."""

    def bind(self, receiver: Receiver) -> None: ...

    def put(self, item: Item) -> None:
        raise AssertionError
