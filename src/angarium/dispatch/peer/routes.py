"""Knows which process owns each shard, as last read from the database.

A delivery may go directly to an owner only if it was known as the owner before the delivery was committed,
and still is when it arrives: otherwise another process may have sent the delivery in the meantime. So each
route says since when it is known, and the tenure of the shard, which the owner compares with its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from angarium.store.shard import Announcement, Member

STALE_AFTER: Final = 10.0  # seconds without a reading after which no route counts


class ShardRoute(NamedTuple):
    """The owner of a shard, its tenure, and since when this process knows that."""

    instance: bytes
    tenure: int
    since: float


class Routes:
    """See the module's docstring. Times are epoch seconds."""

    def __init__(self, instance: bytes) -> None:
        """`instance`: this process, to which no route leads."""
        self._instance = instance
        self._routes: dict[int, ShardRoute] = {}
        self._read_at = -STALE_AFTER
        self.peers: dict[bytes, Announcement] = {}  # by instance, apart from this process

    def learn(self, members: Iterable[Member], now: float) -> None:
        """Take what was read from the database. The reading ended before `now`."""
        self._read_at = now
        before, self._routes = self._routes, {}
        self.peers = {}
        for member in members:
            announcement = member.announcement
            if announcement is None or announcement.instance == self._instance or not announcement.addresses:
                continue
            instance = announcement.instance
            self.peers[instance] = announcement
            for shard, tenure in announcement.tenures.items():
                known = before.get(shard)
                same = known is not None and known.instance == instance and known.tenure == tenure
                self._routes[shard] = known if same and known else ShardRoute(instance, tenure, now)

    def forget(self) -> None:
        """The clock was set: learn all routes again."""
        self._routes = {}

    def age(self, now: float) -> float:
        """Seconds since the last reading."""
        return now - self._read_at

    def of(self, shard: int, since: float, now: float) -> ShardRoute | None:
        """The route of deliveries of the shard that were committed after `since`."""
        route = self._routes.get(shard)
        if route is None or route.since > since or self.age(now) > STALE_AFTER:
            return None
        return route
