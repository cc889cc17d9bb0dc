"""Takes and releases the shards of this dispatcher, and receives hints.

One dedicated connection holds the advisory locks and listens for hints. If it is lost or does not respond in
time, all shards are lost at once; a new connection is opened and shards are taken again. A query runs over it
every second: an owner that is silent, because it hangs or is unreachable, is evicted by the others. After a
pause of the process nothing is sent until a query has succeeded. Dispatchers balance their shares: a new one
takes free shards, and one with too many releases some, first those with no attempts under way, then others
once they are drained. The time allowed for draining grows, so that a slow endpoint does not block the
balance. One that is stopped releases each shard as soon as it has no attempts under way.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol

import structlog

from angarium.clock import steady
from angarium.core.errors import StoreReason, StoreUnavailable
from angarium.core.event import NO_EVENTS, Events
from angarium.core.silence import Silences
from angarium.store import shard as store
from angarium.store.connection import Connection, DedicatedConnection
from angarium.store.database import Database
from angarium.store.fault import RAISED
from angarium.store.hint import Hint, read

log = structlog.get_logger(__name__)

LOOK: Final = 1.0  # seconds between looks at the other dispatchers
HASTE: Final = 50  # looks at ten times the rate after a dispatcher joined or left: shards will soon be free
_RECONNECT: Final = 0.5
_GRACE: Final = 2.0  # seconds to complete attempts before their shards are taken again
_PATIENCE: Final = 1.0  # seconds allowed for draining at first, doubled each time


class Lanes(Protocol):
    """What ownership calls on the dispatcher."""

    def gained(self, shards: Iterable[int]) -> None: ...

    def lost(self, shards: Iterable[int]) -> None: ...

    def drain(self, count: int, patience: float) -> Awaitable[Sequence[int]]: ...

    def busy(self, shard: int) -> bool: ...

    def hinted(self, hint: Hint) -> None: ...


class Peers(Protocol):
    """What ownership calls on the part that passes deliveries to other processes."""

    def announcement(self, tenures: Mapping[int, int]) -> store.Announcement: ...

    def seen(self, read: Sequence[store.Member]) -> None: ...


class Ownership:
    """Takes, balances and releases shards until stopped."""

    def __init__(
        self,
        database: Database,
        lanes: Lanes,
        chance: random.Random,
        held: Callable[[], bool] = lambda: False,
        events: Events = NO_EVENTS,
        peers: Peers | None = None,
    ) -> None:
        """`held`: no shard may be taken now. `peers`: None if deliveries are not passed on directly."""
        self._database = database
        self._events = events
        self._lanes = lanes
        self._held = held
        self._chance = chance
        self._silences: Silences[int, datetime] = Silences(store.SILENCE, store.GAP)
        self._peers = peers
        self._owned: dict[int, int] = {}  # shard -> tenure
        self._tenure = 0  # the last one
        self._announced: dict[int, int] | None = None
        self._stop = asyncio.Event()
        self._lost = asyncio.Event()
        self._retiring = False
        self._ending = asyncio.Event()  # no more shards are taken over this connection
        self._heard_at = -store.SILENCE  # when the last query that succeeded was sent, by the steady time
        self.dispatchers = 0  # connected to the database, as last seen
        self.first_share = asyncio.Event()  # a first share was taken, or is not waited for

    @property
    def sure(self) -> bool:
        """Whether no other process can own our shards. False after a pause or sleep, until the next look."""
        return steady() - self._heard_at < store.SILENCE

    def tenure(self, shard: int) -> int | None:
        """A number that changes whenever the shard is taken. None: it is not ours."""
        return self._owned.get(shard)

    @property
    def heard_at(self) -> float | None:
        """When the last query that succeeded was sent, by the steady time; None if it is stopping."""
        return None if self._stop.is_set() else self._heard_at

    async def ask_afresh(self) -> None:
        """Send the same query over a new connection. Raises an error if that fails."""
        connection = await self._database.dedicated(store.TIMEOUT, application_name="angarium-check")
        try:
            await store.members(connection)
        finally:
            connection.terminate()

    async def run(self) -> None:
        """Run until `stop`. A lost connection is replaced."""
        while not self._stop.is_set():
            if self._held():
                self.first_share.set()  # the process starts anyway, and takes its shards later
                await self._pause(LOOK)
                continue
            try:
                connection = await self._database.dedicated(store.TIMEOUT, **store.SESSION)
            except StoreUnavailable as error:
                log.warning("shards.unavailable", reason=error.reason.value, error=error.detail)
                if error.reason is StoreReason.READ_ONLY:
                    self.first_share.set()  # the process starts anyway, and takes its shards later
                await self._pause(_RECONNECT)
                continue
            self._lost.clear()
            if not self._retiring:
                self._ending.clear()
            self._announced = None
            connection.add_termination_listener(self._on_lost)
            try:
                await connection.add_listener(store.CHANNEL, self._on_hint)
                if not self._retiring:
                    await store.join(connection)
                    await self._hold(connection)
                if self._retiring:
                    await self._leave(connection)
            except RAISED as error:
                log.warning("shards.lost", shards=len(self._owned), error=str(error))
            finally:
                self._give_up()
                await self._close(connection)

    def retire(self) -> None:
        """Take no more shards, and release each as soon as no attempt of it is under way. The lanes start no
        more attempts."""
        self._retiring = True
        self._ending.set()

    def stop(self) -> None:
        """Release everything. The caller has drained the lanes."""
        self._stop.set()
        self._lose()

    async def _hold(self, connection: Connection) -> None:
        patience, haste, before = _PATIENCE, 0, 0
        loop = asyncio.get_running_loop()
        grace_ends = loop.time() + _GRACE
        while not self._ending.is_set():
            members = await self._look(connection)
            if members != before:
                before, haste = members, HASTE
            share = -(-store.SHARDS // members)
            if len(self._owned) < share:
                free = [shard for shard in range(store.SHARDS) if shard not in self._owned]
                if loop.time() < grace_ends:
                    # after a lost connection: attempts not yet completed would be sent again
                    free = [shard for shard in free if not self._lanes.busy(shard)]
                # in random order, so that dispatchers that start together try different shards
                self._chance.shuffle(free)
                await self._take(connection, free, share - len(self._owned))
            elif len(self._owned) > share:
                if await self._give(connection, len(self._owned) - share, patience):
                    continue
                patience *= 2
            if len(self._owned) <= share:
                patience = _PATIENCE
            await self._announce(connection)
            self.first_share.set()
            hasty = haste > 0 and len(self._owned) < share
            haste -= hasty
            # a shard without an owner sends nothing, so it is taken quickly
            await self._pause(LOOK / 10 if hasty else LOOK)

    async def _leave(self, connection: Connection) -> None:
        """Release shards as their attempts end. The others no longer count this dispatcher, so they take
        them."""
        await store.leave(connection)
        while not self._lost.is_set():
            await self._release(connection, [shard for shard in self._owned if not self._lanes.busy(shard)])
            await self._announce(connection)
            await self._look(connection)
            await self._pause(LOOK / 10 if self._owned else LOOK)

    async def _look(self, connection: Connection) -> int:
        """Show that we are alive, and evict silent dispatchers. Returns how many share the shards."""
        asked_at = steady()
        members = await store.members(connection)
        self.dispatchers = len(members)
        if self._peers is not None:
            self._peers.seen(members)
        silent = self._silences.look({one.pid: one.mark for one in members}, steady())
        if silent and (evicted := await store.evict(connection, silent)):
            log.warning("shards.evicted", owners=evicted)
            self._events.shards("evicted", evicted)
        was_sure, self._heard_at = self.sure, asked_at
        if not was_sure:
            self._lanes.gained(())
        return max(1, sum(not one.leaving for one in members))

    async def _announce(self, connection: Connection) -> None:
        """Announce the shards, if they changed."""
        if self._peers is None or self._owned == self._announced:
            return
        owned = dict(self._owned)
        try:
            await store.announce(connection, self._peers.announcement(owned))
        except RAISED as error:
            # a database that became read-only, for example; if the connection is lost, the next look says so
            log.debug("shards.unannounced", error=str(error))
        else:
            self._announced = owned

    async def _take(self, connection: Connection, free: list[int], room: int) -> None:
        while free and room > 0:
            some, free = free[:room], free[room:]
            taken = await store.take(connection, some)
            if taken:
                self._tenure += 1
                self._owned.update(dict.fromkeys(taken, self._tenure))
                room -= len(taken)
                log.info("shards.taken", shards=len(taken), owned=len(self._owned))
                self._events.shards("taken", len(taken))
                self._lanes.gained(taken)

    async def _give(self, connection: Connection, count: int, patience: float) -> bool:
        """Release up to `count` shards. Returns whether any was released."""
        shards = await self._drained(connection, count, patience)
        await self._release(connection, shards)
        return bool(shards)

    async def _release(self, connection: Connection, shards: Sequence[int]) -> None:
        self._lanes.lost(shards)
        for shard in shards:
            self._owned.pop(shard, None)
        if shards:
            await store.release(connection, shards)
            log.info("shards.given", shards=len(shards), owned=len(self._owned))
            self._events.shards("given", len(shards))

    async def _drained(self, connection: Connection, count: int, patience: float) -> Sequence[int]:
        """Drain shards. The session must not be silent meanwhile."""
        draining = asyncio.ensure_future(self._lanes.drain(count, patience))
        try:
            while not (await asyncio.wait([draining], timeout=LOOK))[0]:
                await self._look(connection)
        finally:
            draining.cancel()
        # attempts may have started since the end of the draining
        return [shard for shard in draining.result() if not self._lanes.busy(shard)]

    def _give_up(self) -> None:
        owned, self._owned = self._owned, {}
        if owned and not self._stop.is_set():
            self._events.shards("lost", len(owned))
        self._lanes.lost(owned)

    def _on_lost(self, _: object) -> None:
        self._lose()
        self._give_up()

    def _lose(self) -> None:
        self._lost.set()
        self._ending.set()

    def _on_hint(self, _connection: object, _pid: int, _channel: str, payload: str) -> None:
        self._lanes.hinted(read(payload))

    async def _pause(self, seconds: float) -> None:
        event = self._ending
        if event.is_set():
            event = self._stop if self._lost.is_set() else self._lost
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return

    async def _close(self, connection: DedicatedConnection) -> None:
        try:
            await connection.close(timeout=2)
        except RAISED:
            connection.terminate()
