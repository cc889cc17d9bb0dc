"""The guard at the door: guesses at keys, tokens and links are slowed down by the address they come from.

Failures are counted in a bucket for each address that empties by itself; once it is full, a further failure
is answered "too many" until it has emptied a little. What opens the door is let in whatever its neighbours
behind one address do, so that nobody can lock others out; keys of ours are too long to be guessed anyway.
A browser shows the same bad cookie with each request: that is one guess, as often as it comes. As many
addresses are remembered as fit, and an IPv6 network counts as one: nothing that somebody sends makes this
grow. Every failure is noted in the log, at a bounded rate (`service/failure_log.py`).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address, ip_address
from typing import Final

from angarium.clock import Clock
from angarium.core.errors import CredentialExpired, NotAuthenticated, TooManyFailures
from angarium.service import audit
from angarium.service.failure_log import FailureLog

FAILURES: Final = 30  # that an address has at once
EVERY: Final = 2.0  # seconds in which one of them is forgiven
MOST_KNOWN: Final = 10_000
KNOWN_GUESSES: Final = 16  # of an address: newest, by a number of which nothing can be read
_NETWORK: Final = 64  # bits of an IPv6 address that its owner was given at the least


class LoginThrottle:
    """Counts failures by address, in this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._empty_at: OrderedDict[str, float] = OrderedDict()  # address -> when its bucket is empty
        self._guesses: OrderedDict[str, deque[int]] = OrderedDict()
        self._log = FailureLog(clock)

    @contextmanager
    def watching(self, kind: str, cookie: str | None = None) -> Iterator[None]:
        """While a credential is checked: Throttled is raised when the address failed too often.

        `kind` of credential, for the log. What has expired or was revoked is no guess. `cookie`: a browser
        sends it again and again.
        """
        try:
            yield
        except NotAuthenticated as error:
            address = audit.current().address
            origin = origin_of(address)
            reason, throttled = "ended" if isinstance(error, CredentialExpired) else "invalid", None
            if reason == "invalid" and (cookie is None or self._is_new(origin, cookie)):
                throttled = self._failed(origin)
            self._log.note(origin, reason if throttled is None else "throttled", kind=kind, address=address)
            if throttled is not None:
                raise throttled from None
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

    def _failed(self, origin: str) -> TooManyFailures | None:
        """Count a failure; gives the error when there were too many."""
        now = self._clock.steady()
        empty_at = max(now, self._empty_at.get(origin, now)) + EVERY
        if (beyond := empty_at - now - FAILURES * EVERY) > 0:
            return TooManyFailures(retry_after=beyond)
        self._empty_at[origin] = empty_at
        self._empty_at.move_to_end(origin)
        if len(self._empty_at) > MOST_KNOWN:
            self._empty_at.popitem(last=False)
        return None


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
