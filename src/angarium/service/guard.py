"""The guard at the door: guesses at keys, tokens and links are slowed down by the address they come from.

Failures are counted in a bucket for each address that empties by itself; once it is full, a further failure
is answered "too many" until it has emptied a little. What opens the door is let in whatever its neighbours
behind one address do, so that nobody can lock others out; keys of ours are too long to be guessed anyway.
A browser shows the same bad cookie with each request: that is one guess, as often as it comes. As many
addresses are remembered as fit, and an IPv6 network counts as one: nothing that somebody sends makes this
grow.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address, ip_address
from typing import Final

from angarium.clock import Clock
from angarium.core.errors import Expired, NotAuthenticated, Throttled
from angarium.service import audit

FAILURES: Final = 30  # that an address has at once
EVERY: Final = 2.0  # seconds in which one of them is forgiven
MOST_KNOWN: Final = 10_000
KNOWN_GUESSES: Final = 16  # of an address: newest, by a number of which nothing can be read
_NETWORK: Final = 64  # bits of an IPv6 address that its owner was given at the least


class Guard:
    """Counts failures by address, in this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._empty_at: OrderedDict[str, float] = OrderedDict()  # address -> when its bucket is empty
        self._guesses: OrderedDict[str, deque[int]] = OrderedDict()

    @contextmanager
    def watching(self, cookie: str | None = None) -> Iterator[None]:
        """While somebody shows what may open the door: Throttled is raised when they failed too often.

        What has expired was no guess. `cookie`: it is shown by itself, again and again.
        """
        try:
            yield
        except Expired:
            raise
        except NotAuthenticated:
            origin = origin_of(audit.current().address)
            if cookie is None or self._is_new(origin, cookie):
                self._failed(origin)
            raise

    def _is_new(self, origin: str, cookie: str) -> bool:
        guess, known = hash(cookie), self._guesses.setdefault(origin, deque(maxlen=KNOWN_GUESSES))
        self._guesses.move_to_end(origin)
        if len(self._guesses) > MOST_KNOWN:
            self._guesses.popitem(last=False)
        if guess in known:
            return False
        known.append(guess)
        return True

    def _failed(self, origin: str) -> None:
        now = self._clock.steady()
        empty_at = max(now, self._empty_at.get(origin, now)) + EVERY
        if (beyond := empty_at - now - FAILURES * EVERY) > 0:
            raise Throttled(retry_after=beyond)
        self._empty_at[origin] = empty_at
        self._empty_at.move_to_end(origin)
        if len(self._empty_at) > MOST_KNOWN:
            self._empty_at.popitem(last=False)


def origin_of(address: str | None) -> str:
    """What counts as one address: an IPv4 address, or a network of IPv6 addresses."""
    try:
        found = ip_address(address or "")
    except ValueError:
        return ""
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(int(found) >> (128 - _NETWORK))
    return str(found)
