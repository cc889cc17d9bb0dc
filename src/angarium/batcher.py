"""Batcher: what comes while one batch is being written goes together in the next.

A lone entry waits for nothing, a crowd shares a transaction. After a large batch the next may gather a while,
for a few large transactions cost far less than many small ones.

- One batch is under way at a time, and entries are written in the order in which they came.
- A batch takes entries until it has reached one of its bounds; an entry is never divided.
- What waits is bounded by `capacity`: `put` says when there is no room, and the caller pushes back.
- A batch that cannot be written goes to `failed`, which says what is written instead: the same batch again,
  its entries one by one, others in their place, or nothing, when it has told those who wait.
- `close` writes what waits and lets `run` return; `drained` returns when nothing waits.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")
Weigh = Callable[[T], tuple[int, int]]  # how many items an entry has, and what they weigh, such as bytes

_NO_BOUND: Final = float("inf")


@dataclass(frozen=True, slots=True)
class Bound:
    """How much: items and their weight. Without `Weigh` an entry is one item and weighs nothing."""

    items: float = _NO_BOUND
    weight: float = _NO_BOUND


@dataclass(frozen=True, slots=True)
class Gather:
    """After a batch of at least `crowd` entries, during which at least `came` others came, more may join them
    for some seconds, unless they fill half a batch already.

    `from_first`: the time begins with the first that comes after the batch, however late. This is for entries
    that come in bursts, and that nobody waits for.
    """

    seconds: float
    crowd: int = 1
    came: int = 0
    from_first: bool = False


@dataclass(slots=True)
class Unwritten(Generic[T]):
    """A batch that could not be written."""

    batch: list[T]
    error: Exception
    tries: int  # of this batch, all in vain
    refusals: int = 0  # counted by `failed`; the batches that it gives begin with the same number

    def apart(self) -> list[list[T]]:
        """Each entry by itself, so that one holds up no other."""
        return [[entry] for entry in self.batch]


class Batcher(Generic[T, R]):
    """Gathers entries and writes them. See the module's docstring."""

    def __init__(
        self,
        write: Callable[[list[T]], Awaitable[R]],
        done: Callable[[list[T], R], None],
        failed: Callable[[Unwritten[T]], Awaitable[Sequence[list[T]]]],
        *,
        most: Bound,
        gather: Gather,
        capacity: Bound | None = None,
        weigh: Weigh[T] | None = None,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """`done` gets each batch that was written, with what `write` gave. `most`: of one batch; `capacity`:
        of all that waits."""
        self._write = write
        self._done = done
        self._failed = failed
        self._most = most
        self._gather = gather
        self._capacity = capacity or Bound()
        self._weigh = weigh
        self._steady = steady
        self._entries: deque[T] = deque()
        self._items = 0
        self._weight = 0
        self._in_hand = 0
        self._begun_at = 0.0
        self._crowded = False  # the next batch gathers from its first entry on
        self._hurry = False
        self._closing = False
        self._empty = asyncio.Event()
        self._empty.set()
        self.wake = asyncio.Event()  # something waits, or it is time to stop

    def put(self, entry: T) -> bool:
        """Take an entry for one of the next batches; False: there is no room for it."""
        items, weight = (1, 0) if self._weigh is None else self._weigh(entry)
        if self._items + items > self._capacity.items or self._weight + weight > self._capacity.weight:
            return False
        self._items += items
        self._weight += weight
        self._entries.append(entry)
        self._empty.clear()
        self.wake.set()
        return True

    def __len__(self) -> int:
        """How many entries are not written yet, the batch in hand included."""
        return len(self._entries) + self._in_hand

    @property
    def under_way(self) -> float:
        """Seconds for which the batch in hand has been written; 0.0: there is none."""
        return self._steady() - self._begun_at if self._in_hand else 0.0

    async def run(self) -> None:
        """Write batches until `close`, and then what waits."""
        while not self._closing:
            await self.wake.wait()
            await self.flush()

    async def flush(self) -> None:
        """Write batches until nothing waits."""
        self.wake.clear()
        try:
            while self._entries:
                if self._crowded and self._gathers():
                    await asyncio.sleep(self._gather.seconds)
                batch = self._take()
                self._in_hand, self._begun_at = len(batch), self._steady()
                await self._complete(batch)
                self._in_hand = 0
                crowded = len(batch) >= self._gather.crowd and len(self._entries) >= self._gather.came
                self._crowded = crowded and self._gather.from_first
                if crowded and not self._crowded and self._gathers():
                    await asyncio.sleep(self._gather.seconds)
            self._empty.set()
        finally:
            self._in_hand = 0
            if self._entries:  # a fault in `done` or `failed`: the others are not forgotten
                self.wake.set()

    async def drained(self) -> None:
        """Return when all is written. From now on no batch gathers."""
        self._hurry = True
        await self._empty.wait()

    def close(self) -> None:
        """Let `run` return when it has written what waits."""
        self._hurry = self._closing = True
        self.wake.set()

    def _take(self) -> list[T]:
        if self._weigh is None:
            count = min(len(self._entries), self._most.items)
            batch = [self._entries.popleft() for _ in range(int(count))]
            self._items -= len(batch)
            return batch
        batch, items, weight = [], 0, 0
        while self._entries and items < self._most.items and weight < self._most.weight:
            entry = self._entries.popleft()
            batch.append(entry)
            has, weighs = self._weigh(entry)
            items += has
            weight += weighs
        self._items -= items
        self._weight -= weight
        return batch

    def _gathers(self) -> bool:
        return len(self._entries) < self._most.items / 2 and not self._hurry

    async def _complete(self, batch: list[T], refusals: int = 0) -> None:
        tries = 0
        while True:
            try:
                result = await self._write(batch)
            except Exception as error:
                tries += 1
                unwritten = Unwritten(batch, error, tries, refusals)
                parts = await self._failed(unwritten)
                refusals = unwritten.refusals
                if len(parts) == 1 and parts[0] is batch:
                    continue
                for part in parts:
                    await self._complete(part, refusals)
                return
            self._done(batch, result)
            return
