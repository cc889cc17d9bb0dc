"""Names to addresses, without one slow name server holding up the others.

The system's resolver blocks a thread for each lookup, so the threads are this module's own and bounded,
lookups for one name are shared, and names that were slow or failed last time get a few threads of their
own. What comes back is judged by `dial`, every time it is used, cached or not.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol, TypeVar

from angarium.clock import steady

V = TypeVar("V")

FRESH_SECONDS: Final = 30.0
FAILED_SECONDS: Final = 3.0
SLOW_SECONDS: Final = 1.0
MAX_NAMES: Final = 10_000
MAX_WAITING: Final = 2_000
MAX_ADDRESSES: Final = 8  # a name with hundreds of addresses must not start hundreds of connections


class NameFailure(Exception):
    """The host name could not be resolved; the message says why, in words."""


class Resolver(Protocol):
    """What the sender needs of DNS."""

    async def addresses(self, host: str) -> Sequence[str]:
        """IP addresses of the host, the preferred first; raises NameFailure."""

    async def close(self) -> None:
        """Let go of what the resolver holds."""


def system_lookup(host: str) -> list[str]:
    """Blocking: every address the system knows for the host, IPv4 first."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    found.sort(key=lambda info: info[0] != socket.AF_INET)
    return list(dict.fromkeys(str(info[4][0]) for info in found))


class SystemResolver:
    """getaddrinfo in bounded threads, with a short memory."""

    def __init__(
        self,
        *,
        threads: int = 24,
        lookup: Callable[[str], list[str]] = system_lookup,
        clock: Callable[[], float] = steady,
    ) -> None:
        self._lookup = lookup
        self._clock = clock
        self._quick = ThreadPoolExecutor(threads, "dns")
        self._slow = ThreadPoolExecutor(max(2, threads // 4), "dns-slow")
        self._known: dict[str, tuple[float, tuple[str, ...] | str]] = {}  # until when; addresses or words
        self._suspect: dict[str, None] = {}
        self._running: dict[str, asyncio.Future[tuple[str, ...]]] = {}

    async def addresses(self, host: str) -> Sequence[str]:
        known = self._known.get(host)
        if known is not None and known[0] > self._clock():
            if isinstance(known[1], str):
                raise NameFailure(known[1])
            return known[1]
        running = self._running.get(host)
        if running is None:
            if len(self._running) >= MAX_WAITING:
                raise NameFailure(
                    f"{host} was not looked up: too many lookups wait for DNS. It is tried again later."
                )
            running = asyncio.ensure_future(self._find(host))
            self._running[host] = running
            running.add_done_callback(lambda done: self._finished(host, done))
        # The lookup is shared: one caller that gives up must not take it from the others.
        return await asyncio.shield(running)

    async def close(self) -> None:
        for executor in (self._quick, self._slow):
            executor.shutdown(wait=False, cancel_futures=True)
        running = list(self._running.values())
        for lookup in running:
            lookup.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _find(self, host: str) -> tuple[str, ...]:
        executor = self._slow if host in self._suspect else self._quick
        # Suspect until proven quick: a lookup that hangs leaves its mark for the next one.
        _remember(self._suspect, host, None)
        try:
            started, found = await asyncio.get_running_loop().run_in_executor(executor, self._timed, host)
        except (OSError, UnicodeError) as exc:
            words = _words(host, exc)
            _remember(self._known, host, (self._clock() + FAILED_SECONDS, words))
            raise NameFailure(words) from None
        now = self._clock()
        if now - started < SLOW_SECONDS:
            self._suspect.pop(host, None)
        addresses = tuple(found[:MAX_ADDRESSES])
        _remember(self._known, host, (now + FRESH_SECONDS, addresses))
        return addresses

    def _timed(self, host: str) -> tuple[float, list[str]]:
        started = self._clock()
        return started, self._lookup(host)

    def _finished(self, host: str, done: asyncio.Future[tuple[str, ...]]) -> None:
        self._running.pop(host, None)
        if not done.cancelled():
            done.exception()  # seen here, because every caller may have given up by now


def _remember(memory: dict[str, V], host: str, value: V) -> None:
    memory.pop(host, None)
    while len(memory) >= MAX_NAMES:
        memory.pop(next(iter(memory)))
    memory[host] = value


def _words(host: str, exc: Exception) -> str:
    if isinstance(exc, socket.gaierror) and exc.errno == socket.EAI_AGAIN:
        return f"The name server did not answer for {host}. If this repeats, check the domain's name servers."
    return f"The host name {host} does not exist in DNS. Check the URL, or the domain's DNS records."
