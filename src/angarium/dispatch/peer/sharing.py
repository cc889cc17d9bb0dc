"""Passes accepted deliveries to the processes that own their lanes.

They go directly to the owner, over a socket (dispatch/peer/link.py). Where that is not possible, the owner
gets a hint through the database and reads them there (dispatch/notifier.py). Nothing depends on either: the
queue in the database has every delivery. A delivery that is lost on the way is only late.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec
import structlog

from angarium.clock import Clock
from angarium.core.errors import StoreUnavailable
from angarium.core.keyring import NONCE_BYTES, Keyring, SealError
from angarium.dispatch.notifier import Notifier
from angarium.dispatch.peer import frame
from angarium.dispatch.peer.frame import HandOver
from angarium.dispatch.peer.link import PeerLink
from angarium.dispatch.peer.routes import Routes
from angarium.store.accept import NewDelivery
from angarium.store.database import Database
from angarium.store.fault import DatabaseFault
from angarium.store.shard import Announcement, Member, members

log = structlog.get_logger(__name__)

READ_EVERY: Final = 1.0  # seconds; a dispatcher reads as often for its shards


class Sharing:
    """The routes and links of one process. Use it as `Peers` of the ownership if the process dispatches;
    otherwise it reads the routes itself (`follow`), while there are deliveries."""

    def __init__(
        self,
        clock: Clock,
        entropy: Callable[[int], bytes],
        keyring: Keyring,
        notifier: Notifier,
    ) -> None:
        self.instance = entropy(frame.INSTANCE_BYTES)
        self.key = entropy(frame.KEY_BYTES)
        self.addresses: Sequence[str] = ()
        self._clock = clock
        self._entropy = entropy
        self._keyring = keyring
        self._notifier = notifier
        self._routes = Routes(self.instance)
        self._links: dict[bytes, PeerLink | None] = {}  # None: its key cannot be opened
        self._wanted = asyncio.Event()
        self.passed = 0  # deliveries passed directly

    # as the peers of the ownership

    def announcement(self, tenures: Mapping[int, int]) -> Announcement:
        """What this process announces, with these shards."""
        sealed = self._keyring.seal(self.key, self._entropy(NONCE_BYTES), self.instance)
        return Announcement(self.instance, tuple(self.addresses), sealed, tenures)

    def seen(self, read: Sequence[Member]) -> None:
        """The dispatchers were read from the database. Connect to new ones, and leave those that are gone."""
        self._routes.learn(read, self._clock.now())
        peers = self._routes.peers
        for instance in self._links.keys() - peers.keys():
            if (gone := self._links.pop(instance)) is not None:
                gone.close()
        for instance, announcement in peers.items():
            if instance not in self._links:
                self._links[instance] = self._link(announcement)
            if (link := self._links[instance]) is not None:
                link.connect()

    def _link(self, announcement: Announcement) -> PeerLink | None:
        try:
            key = self._keyring.open(announcement.sealed_key, announcement.instance)
        except SealError as error:
            log.warning("peer.key_unknown", error=error.detail)
            return None
        lost = self._notifier.everywhere
        return PeerLink(announcement.instance, announcement.addresses, key, self._entropy, lost)

    # what the process does

    async def follow(self, database: Database) -> None:
        """Read the routes from the database until cancelled, while deliveries are accepted."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                async with database.connection() as connection:
                    self.seen(await members(connection))
            except (StoreUnavailable, DatabaseFault) as error:
                log.debug("peer.unread", error=str(error))
            await asyncio.sleep(READ_EVERY)

    def give(self, deliveries: Sequence[NewDelivery], since: float) -> None:
        """Pass on deliveries that were committed after `since`."""
        now = self._clock.now()
        self._wanted.set()
        by_owner: dict[bytes, list[NewDelivery]] = {}
        tenures: dict[bytes, dict[int, int]] = {}
        hinted: list[NewDelivery] = []
        for one in deliveries:
            route = self._routes.of(one.shard, since, now)
            if route is None:
                hinted.append(one)
                continue
            by_owner.setdefault(route.instance, []).append(one)
            tenures.setdefault(route.instance, {})[one.shard] = route.tenure
        for instance, given in by_owner.items():
            link = self._links.get(instance)
            for part in parts(given):
                if link is not None and link.ready:
                    link.send(frame.encode(HandOver(tenures[instance], now, [_lean(one) for one in part])))
                    self.passed += len(part)
                else:
                    hinted.extend(part)
        if hinted:
            self._notifier.tell(hinted)

    def clock_jumped(self) -> None:
        """The clock was set."""
        self._routes.forget()

    def close(self) -> None:
        """Close all links."""
        for link in self._links.values():
            if link is not None:
                link.close()
        self._links.clear()


def parts(deliveries: Sequence[NewDelivery]) -> list[list[NewDelivery]]:
    """The deliveries in parts that fit into a frame each."""
    found: list[list[NewDelivery]] = [[]]
    size = 0
    for one in deliveries:
        if len(found[-1]) >= frame.MAX_DELIVERIES or size > frame.MAX_PAYLOADS:
            found.append([])
            size = 0
        found[-1].append(one)
        size += len(one.payload or b"")
    return found


def _lean(one: NewDelivery) -> NewDelivery:
    """The delivery without its payload, if the owner reads it from the database in any case."""
    if one.payload is not None and (one.fifo or len(one.payload) > frame.MAX_PAYLOAD):
        return msgspec.structs.replace(one, payload=None)
    return one
