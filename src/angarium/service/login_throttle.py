"""Throttles failed authentication by client address: keys, tokens and links.

Each address has a leaky bucket of failures. While it is full, further failures are answered with Throttled.
Valid credentials always pass, even from a throttled address, so clients behind one address cannot lock each
other out; keys are too long to be guessed anyway. A browser sends the same invalid cookie with every request:
it counts once. An IPv6 network counts as one address, and the number of remembered addresses is bounded.
Failures are logged at a bounded rate (`service/failure_log.py`).
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

FAILURES: Final = 30  # size of the bucket of an address
EVERY: Final = 2.0  # seconds in which one failure leaks from it
MOST_KNOWN: Final = 10_000
KNOWN_GUESSES: Final = 16  # newest cookies remembered per address, by their hashes
_NETWORK: Final = 64  # prefix length of an IPv6 network: its owner has at least a /64


class LoginThrottle:
    """Counts failures by address in this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._empty_at: OrderedDict[str, float] = OrderedDict()  # address -> when its bucket is empty
        self._guesses: OrderedDict[str, deque[int]] = OrderedDict()
        self._log = FailureLog(clock)

    @contextmanager
    def watching(self, kind: str, cookie: str | None = None) -> Iterator[None]:
        """Wrap the check of a credential. Raises TooManyFailures when it fails too often for the address.

        `kind`: of the credential, for the log. Expired and revoked credentials do not count. `cookie`: an
        invalid one counts once.
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
        """Count a failure; the error to raise if there were too many."""
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
    """What counts as one address: an IPv4 address, or an IPv6 network."""
    try:
        found = ip_address(address or "")
    except ValueError:
        return ""
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(int(found) >> (128 - _NETWORK))
    return str(found)
