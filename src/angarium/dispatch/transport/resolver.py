"""Resolves host names, so that one slow name server does not delay the others.

The system's resolver blocks a thread for each lookup. So this module has its own threads, and lookups for the
same name are shared. A few lookups run at a time. A slow one keeps its thread, but lets the next one start,
up to `THREADS`. Names that were slow or failed last time wait for each other only. `dial` checks addresses at
every use, cached or not.

If a name gets no answer, the domain's name servers may be at fault, or ours. A control lookup decides: it
asks for names that were found before, and for a name that never exists (RFC 6761), which a working name
server denies. If none is answered, our name servers are down. It runs only when a lookup fails or is slow.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple, NoReturn, Protocol, TypeVar

from angarium.clock import steady

V = TypeVar("V")

FRESH_SECONDS: Final = 30.0
FAILED_SECONDS: Final = 3.0
SLOW_SECONDS: Final = 1.0
MAX_NAMES: Final = 10_000
MAX_WAITING: Final = 2_000
THREADS: Final = 256
HELD: Final = 0.25  # seconds after which a lookup lets the next one start
MAX_ADDRESSES: Final = 8  # a name with hundreds of addresses must not start hundreds of connections


SLOW_CONTROL: Final = 2.0  # seconds of a lookup after which the control lookup begins
CONTROL: Final = "control.invalid."
CONTROLS: Final = 2  # names found before that are looked up
GOOD_NAMES: Final = 16


class NameFailure(Exception):
    """The host name could not be resolved. The message says why. `temporary`: the name servers did not say
    that it does not exist."""

    def __init__(self, words: str, *, temporary: bool = False) -> None:
        super().__init__(words)
        self.temporary = temporary


class NameServersDown(Exception):
    """Our name servers do not respond."""


class Resolver(Protocol):
    """What the sender needs of DNS."""

    async def addresses(self, host: str) -> Sequence[str]:
        """IP addresses of the host, preferred first. Raises NameFailure or NameServersDown."""

    def silent(self, seconds: float) -> bool:
        """Whether no lookup that began in the last `seconds` was answered, although a control lookup was
        made."""

    async def close(self) -> None:
        """Release all resources."""


def system_lookup(host: str) -> list[str]:
    """All addresses of the host, IPv4 first. Blocks."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    found.sort(key=lambda info: info[0] != socket.AF_INET)
    return list(dict.fromkeys(str(info[4][0]) for info in found))


class SystemResolver:
    """getaddrinfo in bounded threads, with a short cache."""

    def __init__(
        self,
        *,
        at_once: int = 24,
        lookup: Callable[[str], list[str]] = system_lookup,
        clock: Callable[[], float] = steady,
    ) -> None:
        self._lookup = lookup
        self._clock = clock
        self._threads = ThreadPoolExecutor(THREADS, "dns")
        self._quick = asyncio.Semaphore(at_once)
        self._slow = asyncio.Semaphore(max(2, at_once // 4))
        self._room = THREADS - at_once - max(2, at_once // 4)  # lookups that may have let the next one start
        self._lookups = 0  # in threads
        self._apart = ThreadPoolExecutor(2, "dns-control")
        self._known: dict[str, tuple[float, tuple[str, ...] | _Failed]] = {}  # host -> (valid until, result)
        self._good: dict[str, None] = {}  # names that were found, latest last
        self._answered = float("-inf")  # when the latest answered lookup began
        self._control: asyncio.Future[bool] | None = None
        self._suspect: dict[str, None] = {}
        self._running: dict[str, asyncio.Future[tuple[str, ...]]] = {}

    async def addresses(self, host: str) -> Sequence[str]:
        known = self._known.get(host)
        if known is not None and known[0] > self._clock():
            if isinstance(known[1], _Failed):
                known[1].throw()
            else:
                return known[1]
        running = self._running.get(host)
        if running is None:
            if len(self._running) >= MAX_WAITING:
                raise NameServersDown("too many lookups wait")
            running = asyncio.ensure_future(self._find(host))
            self._running[host] = running
            running.add_done_callback(lambda done: self._finished(host, done))
        # The lookup is shared: if one caller gives up, it must continue for the others.
        return await asyncio.shield(running)

    def silent(self, seconds: float) -> bool:
        return self._control is not None and self._answered < self._clock() - seconds

    async def close(self) -> None:
        for executor in (self._threads, self._apart):
            executor.shutdown(wait=False, cancel_futures=True)
        running: list[asyncio.Future[tuple[str, ...]] | asyncio.Future[bool]] = [*self._running.values()]
        if self._control is not None:
            running.append(self._control)
        for lookup in running:
            lookup.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _find(self, host: str) -> tuple[str, ...]:
        asked = self._clock()
        lookup = await self._begin(host)
        if not (await asyncio.wait({lookup}, timeout=SLOW_CONTROL))[0]:
            self._begin_control(host)
        try:
            started, found = await lookup
        except (OSError, UnicodeError) as exc:
            failed = await self._failed(host, exc, asked)
            _remember(self._known, host, (self._clock() + FAILED_SECONDS, failed))
            failed.throw()
        self._answered = max(self._answered, started)
        self._good.pop(host, None)
        self._good[host] = None
        if len(self._good) > GOOD_NAMES:
            del self._good[next(iter(self._good))]
        now = self._clock()
        if now - started < SLOW_SECONDS:
            self._suspect.pop(host, None)
        addresses = tuple(found[:MAX_ADDRESSES])
        _remember(self._known, host, (now + FRESH_SECONDS, addresses))
        return addresses

    async def _begin(self, host: str) -> asyncio.Future[tuple[float, list[str]]]:
        """Begin the lookup when its turn comes."""
        loop = asyncio.get_running_loop()
        suspect = host in self._suspect
        # Suspect until proven fast: after a lookup that hangs, the next one waits for others of its kind.
        _remember(self._suspect, host, None)
        turns = self._slow if suspect else self._quick
        await turns.acquire()
        self._lookups += 1
        lookup = loop.run_in_executor(self._threads, self._timed, host)
        holding = True

        def release() -> None:
            nonlocal holding
            if holding:
                holding = False
                turns.release()

        def ended(_: object) -> None:
            self._lookups -= 1
            release()

        def late() -> None:
            if self._lookups <= self._room:
                release()

        lookup.add_done_callback(ended)
        if not suspect:
            loop.call_later(HELD, late)
        return lookup

    async def _failed(self, host: str, exc: Exception, asked: float) -> _Failed:
        """The cause of a failed lookup: the name, or our name servers."""
        if not _temporary(exc):
            self._answered = max(self._answered, asked)
            return _Failed(
                f"The host name {host} does not exist in DNS. Check the URL and the domain's DNS records."
            )
        if self._answered < asked and not await asyncio.shield(self._begin_control(host)):
            return _Failed("our name servers do not respond", down=True)
        return _Failed(
            f"The name server did not answer for {host}. If this repeats, check the domain's name servers.",
            temporary=True,
        )

    def _begin_control(self, host: str) -> asyncio.Future[bool]:
        """Whether our name servers respond. Only one control lookup runs at a time."""
        if self._control is None or self._control.done():
            self._control = asyncio.ensure_future(self._answering(host))
        return self._control

    async def _answering(self, host: str) -> bool:
        names = [name for name in reversed(self._good) if name != host][:CONTROLS]
        for name in names if len(names) == CONTROLS else [*names, CONTROL]:
            asked = self._clock()
            try:
                await asyncio.get_running_loop().run_in_executor(self._apart, self._lookup, name)
            except (OSError, UnicodeError) as exc:
                if _temporary(exc):
                    continue
            self._answered = max(self._answered, asked)
            return True
        return False

    def _timed(self, host: str) -> tuple[float, list[str]]:
        started = self._clock()
        return started, self._lookup(host)

    def _finished(self, host: str, done: asyncio.Future[tuple[str, ...]]) -> None:
        self._running.pop(host, None)
        if not done.cancelled():
            done.exception()  # retrieved here, because every caller may have given up


def _remember(memory: dict[str, V], host: str, value: V) -> None:
    memory.pop(host, None)
    while len(memory) >= MAX_NAMES:
        memory.pop(next(iter(memory)))
    memory[host] = value


def _temporary(exc: Exception) -> bool:
    """Whether the failure leaves open if the name has addresses."""
    if isinstance(exc, socket.gaierror):
        return exc.errno in _UNANSWERED
    return isinstance(exc, OSError)


_UNANSWERED: Final = frozenset({socket.EAI_AGAIN, socket.EAI_FAIL, socket.EAI_MEMORY})


class _Failed(NamedTuple):
    """A cached failure."""

    words: str
    temporary: bool = False
    down: bool = False

    def throw(self) -> NoReturn:
        """Raise it."""
        if self.down:
            raise NameServersDown(self.words)
        raise NameFailure(self.words, temporary=self.temporary)
