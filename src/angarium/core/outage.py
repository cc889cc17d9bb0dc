"""Decides which ambiguous failures are on our side, and when to pause and probe.

Pure. Times are seconds of a clock that never jumps.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

from angarium.core.failure import FailureKind

WINDOW: Final = 120.0
"""Seconds within which failures of unrelated hosts make a burst."""
RECENT: Final = 60.0
"""Seconds for which a success proves that the network works, for hosts that failed before."""
FIRST: Final = 0.5
LONGEST: Final = 30.0
PATIENCE: Final = 5.0
TRIES: Final = 8
MAX_SITES: Final = 1000


class FaultDetector:
    """Decides whether an ambiguous failure is ours. `reached` and `failed` see every attempt.

    A kind whose burst is several hosts is ours once that many unrelated hosts have failed within `WINDOW`
    without a success in between, until the next success.

    A kind whose burst is one host is ours at first. If another receiver is reached before the host fails
    again, the failure is the host's, as long as others are reached.
    """

    def __init__(self) -> None:
        self._reached_at = float("-inf")
        self._failing: dict[str, dict[str, float]] = {}  # code of side `ours` -> site -> last failure
        self._down: set[str] = set()
        self._unclear: dict[str, float] = {}  # site -> first failure
        self._remote: set[str] = set()

    def reached(self, now: float) -> None:
        """A receiver was reached, with any response."""
        self._reached_at = now
        if self._failing:
            self._failing.clear()
            self._down.clear()

    def failed(self, kind: FailureKind, host: str, now: float) -> bool:
        """Whether this failure is ours. The kind is ambiguous (`becomes`)."""
        code, site = kind.becomes, site_of(host)
        if code is None:
            return False
        if kind.burst <= 1:
            return self._alone(site, now)
        sites = self._failing.setdefault(code, {})
        _put(sites, site, now)
        if code not in self._down:
            for old in [one for one, at in sites.items() if at < now - WINDOW]:
                del sites[old]
            if len(sites) >= kind.burst:
                self._down.add(code)
        return code in self._down

    def _alone(self, site: str, now: float) -> bool:
        if site in self._remote and self._reached_at >= now - RECENT:
            return False
        since = self._unclear.get(site)
        if since is None:
            self._remote.discard(site)
            _put(self._unclear, site, now)
        elif self._reached_at > since:
            del self._unclear[site]
            while len(self._remote) >= MAX_SITES:
                self._remote.pop()
            self._remote.add(site)
            return False
        return True


class ProbePause:
    """A growing pause of sending, followed by one probe at a time."""

    __slots__ = ("_pauses", "_tries", "_until")

    def __init__(self, now: float) -> None:
        self._pauses = 0
        self.failed(now)

    @property
    def next_at(self) -> float:
        """When `admits` may return true."""
        return self._until

    def failed(self, now: float) -> None:
        """The probe failed. The next one waits longer, at most `LONGEST`."""
        self._until = now + min(LONGEST, FIRST * 2.0 ** min(self._pauses, 16))
        self._pauses += 1
        self._tries = TRIES

    def admits(self, now: float) -> bool:
        """Whether a lane may look for a delivery to probe with. Limited to a few lanes a second, because a
        lane with nothing in memory reads the database first."""
        if now < self._until:
            return False
        if not self._tries:
            self._until = now + 1.0
            self._tries = TRIES
            return False
        self._tries -= 1
        return True

    def probing(self, now: float) -> None:
        """A probe started: no other for `PATIENCE` seconds."""
        self._until = now + PATIENCE


class PausedTime:
    """For how many seconds something has been paused, by cause. Pauses of one cause may overlap."""

    __slots__ = ("_pauses", "_since", "_total")

    def __init__(self) -> None:
        self._pauses: dict[str, int] = {}
        self._since: dict[str, float] = {}
        self._total: dict[str, float] = {}

    def began(self, cause: str, now: float) -> None:
        pauses = self._pauses.get(cause, 0)
        self._pauses[cause] = pauses + 1
        if not pauses:
            self._since[cause] = now

    def ended(self, cause: str, now: float) -> None:
        """One of the pauses that began has ended."""
        self._pauses[cause] -= 1
        if not self._pauses[cause]:
            self._total[cause] = self._total.get(cause, 0.0) + now - self._since.pop(cause)

    def seconds(self, now: float) -> dict[str, float]:
        """By cause, those of current pauses included."""
        found = dict(self._total)
        for cause, since in self._since.items():
            found[cause] = found.get(cause, 0.0) + now - since
        return found


def site_of(host: str) -> str:
    """The site of a host: the domain's last two labels, or the network (/24 of IPv4, /48 of IPv6). Hosts of
    different sites are unrelated."""
    bare = host.strip("[]")
    try:
        address = ip_address(bare)
    except ValueError:
        return ".".join(bare.rstrip(".").lower().rsplit(".", 2)[-2:])
    return address.packed[: 3 if address.version == 4 else 6].hex()


def _put(sites: dict[str, float], site: str, now: float) -> None:
    sites[site] = now
    while len(sites) > MAX_SITES:
        del sites[next(iter(sites))]
