"""What a durable inbox does: keep an event before it is acknowledged, and hand it to a worker.

An item is what `Event.dump` gives. It is taken with a lease; an item whose worker died is handed out again
when the lease ends.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from dataclasses import dataclass

from angarium.receiver.store.base import Key

Item = dict[str, str | None]


@dataclass(frozen=True, slots=True)
class Taken:
    key: Key
    token: str
    item: Item
    attempt: int  # from 1


class Inbox(ABC):
    """The methods that start with `a` are the same for event loops, in a thread."""

    @abstractmethod
    def put(self, key: Key, item: Item, *, now: float) -> bool:
        """Keep it, durably. False if it was kept before."""

    @abstractmethod
    def take(self, source: str, token: str, *, lease: float, now: float) -> Taken | None:
        """The next that is due."""

    @abstractmethod
    def done(self, taken: Taken, *, ttl: float, now: float) -> None:
        """It is handled; its id is remembered for `ttl` seconds."""

    @abstractmethod
    def failed(self, taken: Taken, error: str, *, due_at: float | None) -> None:
        """Due again at that time, or dead if that is None. Nothing happens if the lease was lost."""

    async def aput(self, key: Key, item: Item, *, now: float) -> bool:
        return await asyncio.to_thread(self.put, key, item, now=now)

    async def atake(self, source: str, token: str, *, lease: float, now: float) -> Taken | None:
        return await asyncio.to_thread(self.take, source, token, lease=lease, now=now)

    async def adone(self, taken: Taken, *, ttl: float, now: float) -> None:
        await asyncio.to_thread(self.done, taken, ttl=ttl, now=now)

    async def afailed(self, taken: Taken, error: str, *, due_at: float | None) -> None:
        await asyncio.to_thread(self.failed, taken, error, due_at=due_at)
