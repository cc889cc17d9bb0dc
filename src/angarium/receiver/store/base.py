"""What a dedupe store does: a claim is taken, and then done or released.

A claim has a lease, so that one whose holder died is free again after a while. `done` is remembered for
`ttl` seconds. Every method may raise anything when the store is down.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from enum import Enum
from typing import NamedTuple


class Key(NamedTuple):
    """Whose, and which: the source's name with the event's id, or with the name of a resource."""

    source: str
    id: str


class Claim(Enum):
    TAKEN = "taken"
    HELD = "held"  # somebody else's lease is running
    DONE = "done"


class Store(ABC):
    """The methods that start with `a` are the same for event loops; a thread runs them unless they are
    written anew."""

    @abstractmethod
    def claim(self, key: Key, token: str, *, lease: float, now: float) -> Claim:
        """Take what is free or whose lease has ended. `token` names the holder; times are seconds."""

    @abstractmethod
    def done(self, key: Key, token: str, *, ttl: float, now: float) -> None:
        """The work is done, whoever holds the claim by now."""

    @abstractmethod
    def release(self, key: Key, token: str) -> None:
        """Free it at once, if it is still the holder's."""

    @abstractmethod
    def advance(self, key: Key, at: float, *, ttl: float, now: float) -> bool:
        """Move the resource's last-seen time on to `at`; False if it is later than that already."""

    async def aclaim(self, key: Key, token: str, *, lease: float, now: float) -> Claim:
        return await asyncio.to_thread(self.claim, key, token, lease=lease, now=now)

    async def adone(self, key: Key, token: str, *, ttl: float, now: float) -> None:
        await asyncio.to_thread(self.done, key, token, ttl=ttl, now=now)

    async def arelease(self, key: Key, token: str) -> None:
        await asyncio.to_thread(self.release, key, token)

    async def aadvance(self, key: Key, at: float, *, ttl: float, now: float) -> bool:
        return await asyncio.to_thread(self.advance, key, at, ttl=ttl, now=now)
