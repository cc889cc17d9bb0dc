"""Writes entries in batches: those that arrive while one batch is being written go into the next.

A single entry is written at once, and many share a transaction. After a large batch the next may wait for
more entries, because a few large transactions cost far less than many small ones.

- One batch is written at a time, and entries are written in order of arrival.
- A batch takes entries until it reaches one of its bounds. An entry is never split.
- Waiting entries are limited by `capacity`: `put` returns False when there is no room.
- An entry with `patience` starts no batch for that time. It joins the next one, so that entries in no hurry
  cost no transactions of their own.
- A batch that cannot be written goes to `failed`, which returns what to write instead: the same batch, its
  entries one by one, other entries, or nothing, if it has informed the callers.
- `close` writes what waits and lets `run` return. `drained` returns when nothing waits.
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
Weigh = Callable[[T], tuple[int, int]]  # number of items in an entry, and their weight, such as bytes

_NO_BOUND: Final = float("inf")


@dataclass(frozen=True, slots=True)
class Bound:
    """A limit in items and weight. Without `Weigh` an entry is one item of weight 0."""

    items: float = _NO_BOUND
    weight: float = _NO_BOUND


@dataclass(frozen=True, slots=True)
class Gather:
    """After a batch of at least `crowd` entries, during which at least `came` others arrived, wait `seconds`
    for more, unless they fill half a batch already.

    `from_first`: the time starts with the first entry after the batch, however late. Use it for entries that
    arrive in bursts and that no caller waits for.
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
    tries: int  # failed attempts to write this batch
    refusals: int = 0  # counted by `failed`; passed on to the batches that it returns

    def apart(self) -> list[list[T]]:
        """Each entry in its own batch, so that one does not block the others."""
        return [[entry] for entry in self.batch]


class Batcher(Generic[T, R]):
    """Collects entries and writes them in batches. See the module's docstring."""

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
        """`done` gets each written batch and the result of `write`. `most` limits one batch, `capacity` all
        waiting entries."""
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
        self._writing = 0  # entries in the current batch
        self._begun_at = 0.0
        self._crowded = False  # the next batch gathers, starting with its first entry
        self._pressing = False  # an entry waits whose patience is over
        self._patience: asyncio.TimerHandle | None = None
        self._hurry = False
        self._closing = False
        self._empty = asyncio.Event()
        self._empty.set()
        self.wake = asyncio.Event()  # entries wait, or it is time to stop

    def put(self, entry: T, *, patience: float = 0.0) -> bool:
        """Add an entry for one of the next batches. False: there is no room. `patience`: seconds for which
        it may wait until others start a batch."""
        items, weight = (1, 0) if self._weigh is None else self._weigh(entry)
        if self._items + items > self._capacity.items or self._weight + weight > self._capacity.weight:
            return False
        self._items += items
        self._weight += weight
        self._entries.append(entry)
        self._empty.clear()
        if not patience or self._hurry:
            self._press()
        elif self._patience is None and not self._pressing:
            self._patience = asyncio.get_running_loop().call_later(patience, self._press)
        return True

    def __len__(self) -> int:
        """Number of entries not written yet, including the current batch."""
        return len(self._entries) + self._writing

    @property
    def waiting(self) -> tuple[int, int]:
        """Number of items that wait, without the current batch, and their weight."""
        return self._items, self._weight

    @property
    def under_way(self) -> float:
        """Seconds since writing the current batch began; 0.0 if there is none."""
        return self._steady() - self._begun_at if self._writing else 0.0

    async def run(self) -> None:
        """Write batches until `close`, then the waiting entries, also if `close` was called first."""
        while not self._closing or self._entries:
            await self.wake.wait()
            await self.flush()

    async def flush(self) -> None:
        """Write batches until nothing waits, or only entries with patience."""
        self.wake.clear()
        try:
            while self._entries and self._pressing:
                if self._crowded and self._gathers():
                    await asyncio.sleep(self._gather.seconds)
                batch = self._take()
                self._writing, self._begun_at = len(batch), self._steady()
                await self._complete(batch)
                self._writing = 0
                crowded = len(batch) >= self._gather.crowd and len(self._entries) >= self._gather.came
                self._crowded = crowded and self._gather.from_first
                if crowded and not self._crowded and self._gathers():
                    await asyncio.sleep(self._gather.seconds)
            if not self._entries:
                self._empty.set()
        finally:
            self._writing = 0
            if self._entries and self._pressing:  # an error in `done` or `failed`: write the others
                self.wake.set()

    async def drained(self) -> None:
        """Wait until all entries are written. From now on no batch gathers."""
        self._hurry = True
        self._press()
        await self._empty.wait()

    def close(self) -> None:
        """Let `run` return after it has written the waiting entries."""
        self._hurry = self._closing = True
        self._press()

    def _press(self) -> None:
        """Start a batch now, or after the current one."""
        self._pressing = True
        self._end_patience()
        self.wake.set()

    def _end_patience(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _take(self) -> list[T]:
        batch = self._next()
        if not self._entries:
            self._pressing = False
            self._end_patience()
        return batch

    def _next(self) -> list[T]:
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
