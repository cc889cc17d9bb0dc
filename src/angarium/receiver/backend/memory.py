"""A store in memory: for tests, and for a receiver that runs in one process.

It holds `size` entries at most. When it is full, the least recently used one is dropped, but never a claim
whose lease is running.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from angarium.receiver.backend import Claim, Key, P, Store, T


@dataclass(slots=True)
class _Entry:
    token: str | None  # None: done
    until: float


class MemoryStore(Store):
    def __init__(self, size: int = 100_000) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._claims: OrderedDict[Key, _Entry] = OrderedDict()
        self._marks: OrderedDict[Key, tuple[float, float]] = OrderedDict()

    def claim(self, key: Key, token: str, *, lease: float, now: float) -> Claim:
        with self._lock:
            entry = self._claims.get(key)
            if entry is not None and entry.until > now:
                self._claims.move_to_end(key)
                return Claim.DONE if entry.token is None else Claim.HELD
            self._put(key, _Entry(token, now + lease), now)
            return Claim.TAKEN

    def done(self, key: Key, token: str, *, ttl: float, now: float) -> None:
        with self._lock:
            self._put(key, _Entry(None, now + ttl), now)

    def release(self, key: Key, token: str) -> None:
        with self._lock:
            entry = self._claims.get(key)
            if entry is not None and entry.token == token:
                del self._claims[key]

    def advance(self, key: Key, at: float, *, ttl: float, now: float) -> bool:
        with self._lock:
            seen, until = self._marks.get(key, (at, now))
            if until > now and seen > at:
                return False
            self._marks[key] = (at, now + ttl)
            self._marks.move_to_end(key)
            if len(self._marks) > self._size:
                self._marks.popitem(last=False)
            return True

    def _put(self, key: Key, entry: _Entry, now: float) -> None:
        if key not in self._claims and len(self._claims) >= self._size:
            self._drop_one(now)
        self._claims[key] = entry
        self._claims.move_to_end(key)

    def _drop_one(self, now: float) -> None:
        for key, entry in self._claims.items():
            if entry.token is None or entry.until <= now:
                del self._claims[key]
                return
        raise MemoryError(f"The store is full: {self._size} events are being handled. Use a larger size.")

    async def _wait(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return method(*args, **kwargs)  # blocks for a moment only
