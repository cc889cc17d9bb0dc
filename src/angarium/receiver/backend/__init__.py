"""Interfaces of what a receiver stores events in and passes them to: stores, inboxes and queues.

- A store remembers which events were handled.
- An inbox stores events, so that they can be acknowledged first and handled later by a worker.
- A queue passes events to a task queue, whose own workers handle them.

Each module has the classes for one kind of database; `queue` has a class for each task queue library. All of
them are in `angarium.receiver`, except Django's store (`angarium.receiver.django.store`).

Methods whose names start with `a` are for event loops. Every method may raise any exception if the database
or queue is unavailable. Times are seconds.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, ParamSpec, TypeVar

if TYPE_CHECKING:
    from angarium.receiver.receiver import Receiver

P = ParamSpec("P")
T = TypeVar("T")
Item = dict[str, str | None]
"""An event as `Event.dump` returns it."""


class Key(NamedTuple):
    """The name of a source, with the id of an event or the name of a resource."""

    source: str
    id: str


class Claim(Enum):
    TAKEN = "taken"
    HELD = "held"  # by another process or thread, whose lease has not ended
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Taken:
    """An item that a worker has taken from an inbox."""

    key: Key
    token: str
    item: Item
    attempt: int  # from 1


class _Blocking:
    async def _wait(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a blocking method from an event loop: in a thread, unless a class overrides this."""
        return await asyncio.to_thread(method, *args, **kwargs)


class Store(_Blocking, ABC):
    """Remembers claims. A claim has a lease, so that it becomes free if its holder dies."""

    @abstractmethod
    def claim(self, key: Key, token: str, *, lease: float, now: float) -> Claim:
        """Take a claim that is free or whose lease has ended. `token` identifies the holder."""

    @abstractmethod
    def done(self, key: Key, token: str, *, ttl: float, now: float) -> None:
        """The event is handled; remember it for `ttl`. This applies even if the claim has another holder."""

    @abstractmethod
    def release(self, key: Key, token: str) -> None:
        """Make the claim free now, if `token` still holds it."""

    @abstractmethod
    def advance(self, key: Key, at: float, *, ttl: float, now: float) -> bool:
        """Set the resource's latest time to `at`; False if it is later than that already."""

    async def aclaim(self, key: Key, token: str, *, lease: float, now: float) -> Claim:
        return await self._wait(self.claim, key, token, lease=lease, now=now)

    async def adone(self, key: Key, token: str, *, ttl: float, now: float) -> None:
        await self._wait(self.done, key, token, ttl=ttl, now=now)

    async def arelease(self, key: Key, token: str) -> None:
        await self._wait(self.release, key, token)

    async def aadvance(self, key: Key, at: float, *, ttl: float, now: float) -> bool:
        return await self._wait(self.advance, key, at, ttl=ttl, now=now)


class Inbox(_Blocking, ABC):
    """Stores items until a worker has handled them. A worker takes an item with a lease: if the worker dies,
    another gets the item when the lease ends."""

    @abstractmethod
    def put(self, key: Key, item: Item, *, now: float) -> bool:
        """Store the item durably. False if it was stored before."""

    @abstractmethod
    def take(self, source: str, token: str, *, lease: float, now: float) -> Taken | None:
        """The next item that is due."""

    @abstractmethod
    def done(self, taken: Taken, *, ttl: float, now: float) -> None:
        """The item is handled; remember its id for `ttl`."""

    @abstractmethod
    def failed(self, taken: Taken, error: str, *, due_at: float | None) -> None:
        """The item is due again at that time, or dead if it is None. No effect if the lease was lost."""

    async def aput(self, key: Key, item: Item, *, now: float) -> bool:
        return await self._wait(self.put, key, item, now=now)

    async def atake(self, source: str, token: str, *, lease: float, now: float) -> Taken | None:
        return await self._wait(self.take, source, token, lease=lease, now=now)

    async def adone(self, taken: Taken, *, ttl: float, now: float) -> None:
        await self._wait(self.done, taken, ttl=ttl, now=now)

    async def afailed(self, taken: Taken, error: str, *, due_at: float | None) -> None:
        await self._wait(self.failed, taken, error, due_at=due_at)


class Queue(_Blocking, ABC):
    """Passes items to a task queue. Its workers call `receiver.process(item)` or `aprocess`, which raise the
    handler's errors; retries are made by the task queue."""

    @abstractmethod
    def bind(self, receiver: Receiver) -> None:
        """Register the task that calls this receiver. Called when the Receiver is made."""

    @abstractmethod
    def put(self, item: Item) -> None:
        """Pass the item on; the task queue has it when this returns."""

    async def aput(self, item: Item) -> None:
        await self._wait(self.put, item)

    @staticmethod
    def name(receiver: Receiver) -> str:
        """The name of the receiver's task."""
        return f"angarium.receive.{receiver.source}"
