"""The dispatcher: goes round the lanes of its shards and acts for them.

Lanes decide (core/lane.py); this module hands them what was accepted, and has them send, load and wait. All
state belongs to one event loop; nothing here blocks.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Final

import structlog

from angarium.clock import Clock
from angarium.core.errors import StoreReason
from angarium.core.hand import Held
from angarium.core.keyring import Keyring
from angarium.core.lane import Load, Send, Wait
from angarium.core.nouns import State
from angarium.core.product import Product
from angarium.core.read_position import FIRST
from angarium.dispatch.attempts import Attempts
from angarium.dispatch.bookkeeper import Bookkeeper
from angarium.dispatch.fan_out import FanOut
from angarium.dispatch.fault_report import FaultReport
from angarium.dispatch.herald import Herald
from angarium.dispatch.load_handler import LoadHandler
from angarium.dispatch.loader import Loader
from angarium.dispatch.lookout import Lookout
from angarium.dispatch.outages import Outages
from angarium.dispatch.ownership import Ownership
from angarium.dispatch.placement import Placement
from angarium.dispatch.post import Placing, Post
from angarium.dispatch.posts import Policy, Posts
from angarium.dispatch.request_builder import RequestBuilder
from angarium.dispatch.room import Room
from angarium.dispatch.sender import Sender
from angarium.dispatch.settler import Outcome, Settler
from angarium.dispatch.upkeep import Upkeep
from angarium.store.accept import Owed
from angarium.store.database import Database
from angarium.store.hint import Changed, Forgiven, Hint, LookEverywhere, Task, Work
from angarium.store.hint import FanOut as FanOutDue
from angarium.store.load import Wanted
from angarium.store.retention import Retention
from angarium.store.shard import PULLED

log = structlog.get_logger(__name__)

BURST: Final = 200  # turns taken before other work of the loop gets its own
FOREVER: Final = 3600.0  # the longest sleep
CRAMPED: Final = 0.5  # the same while some have a turn, but there is no room for it
LEADING: Final = 0  # the shard whose owner does the upkeep


class Dispatcher:
    """Delivers what its shards owe. `hand_over` takes what intake has just committed."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        entropy: Callable[[int], bytes],
        sender: Sender,
        keyring: Keyring,
        products: Mapping[str, Product],
        policy: Policy,
        *,
        retention: Retention | None = None,
        chance: random.Random | None = None,
    ) -> None:
        chance = chance or random.Random(entropy(16))  # noqa: S311 (it jitters, it guards nothing)
        self._clock = clock
        self._sender = sender
        self._policy = policy
        self._posts = Posts(clock, policy)
        self._draining: set[int] = set()
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []
        self._herald = Herald(database)
        retention = retention or Retention()
        history = retention.history.total_seconds()
        self._settler = Settler(database, clock, entropy, self._settled, self.hand_over, history)
        self._space = Room(policy.in_flight_total)
        name = f"{os.getpid()}-{entropy(2).hex()}"
        self._outages = Outages(self._posts, clock, name)
        self._report = FaultReport(database, clock, self._outages, name)
        builder = RequestBuilder(entropy, chance)
        self._attempts = Attempts(
            self._posts, self._space, builder, sender, self._settler, self._outages, clock
        )
        handler = LoadHandler(self._posts, clock, products, keyring)
        self._loader = Loader(database, clock, handler, self._settler.parked)
        self._lookout = Lookout(
            database,
            clock,
            owned=lambda: self._posts.owned,
            seen=handler.seen,
            inactive=handler.take_inactive,
        )
        self._placement = Placement(database, clock, self._posts)
        self._ownership = Ownership(database, self, chance)
        self._upkeep = Upkeep(database, clock, self._leads, retention)
        self._bookkeeper = Bookkeeper(database, clock)
        self._fan_out = FanOut(database, clock, self.hand_over, lambda: len(self._attempts))

    @property
    def owned(self) -> frozenset[int]:
        """The shards that are ours."""
        return frozenset(self._posts.owned)

    @property
    def waiting(self) -> StoreReason | None:
        """Why outcomes cannot be written, while they wait for the database."""
        return self._settler.waiting

    # life

    async def start(self) -> None:
        """Begin to take shards and to deliver; returns when a first share was taken."""
        await self._herald.start()
        parts = (
            self._settler,
            self._loader,
            self._placement,
            self._lookout,
            self._upkeep,
            self._bookkeeper,
            self._report,
            self._fan_out,
            self._ownership,
        )
        for run in (self._go_round, *(part.run for part in parts)):
            self._tasks.append(asyncio.create_task(_watched(run), name=run.__qualname__))
        await self._ownership.settled.wait()

    async def stop(self) -> None:
        """Send nothing more, wait for what is in flight, settle it, and let go of the shards."""
        self._stopping = True
        await self._attempts.ended(self._policy.longest + 5)
        try:
            async with asyncio.timeout(self._policy.longest + 5):
                await self._settler.drained()
                await self._settler.try_parked()
        except TimeoutError:
            log.error("stop.unsettled", deliveries=self._attempts.unsettled.total())
        self._ownership.stop()
        await asyncio.wait(self._tasks[-1:], timeout=5)
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        await self._bookkeeper.write()
        await self._report.stop()
        await self._herald.stop()
        await self._sender.close()

    # what comes in

    def hand_over(self, owed: Sequence[Owed], since: float | None = None) -> None:
        """Deliveries that are committed: ours go into their lanes, of the others their owners are told.

        `since`: when they were committed, if not just now. In a shard that is ours only since later, a former
        owner may have sent them, so its lanes read the table.
        """
        now = self._clock.now()
        foreign: list[Owed] = []
        for one in owed:
            if one.shard == PULLED:
                continue  # its listener asks for it
            owned_since = self._posts.owned.get(one.shard)
            if owned_since is None:
                foreign.append(one)
                continue
            post = self._posts.open(one.app_id, one.endpoint_id)
            if one.revision > post.revision:
                post.revision = one.revision
                post.stale = post.stale or post.target is None or post.target.revision < one.revision
            if not one.fifo:
                post.unplaced()
            doubtful = since is not None and owned_since >= since
            if doubtful or one.fifo or one.payload is None or (self._posts.short and one.due_at <= now):
                post.lane.hint(one.due_at, since=post.lane.place(one.message_id, one.seq))
            else:
                held = Held(
                    one.message_id,
                    one.due_at,
                    State.PENDING,
                    0,
                    None,
                    one.payload,
                    one.event_type,
                    test=one.test,
                    content_type=one.content_type,
                    pending=True,
                    expires_at=one.expires_at,
                    seq=one.seq,
                )
                post.lane.arrive(held, now)
            self._posts.mark(post)
        if foreign:
            self._herald.tell(foreign)

    def fan_out(self) -> None:
        """A message was accepted whose deliveries are still to be written."""
        self._fan_out.look()

    def hinted(self, hint: Hint) -> None:
        """Another process says where to look."""
        now = self._clock.now()
        match hint:
            case Work(lanes):
                for app_id, endpoint_id, message_id, seq in lanes:
                    if self._posts.ours(endpoint_id):
                        opened = self._posts.open(app_id, endpoint_id)
                        if seq == FIRST:
                            opened.unplaced()
                        since = opened.lane.place(message_id, seq)
                        self._posts.news(opened, now, manual=True, since=since)
            case Changed(endpoint_id) | Forgiven(endpoint_id):
                post = self._posts.get(endpoint_id)
                if post is not None:
                    post.stale = True
                    self._posts.news(post, now)
            case Task():
                self._upkeep.look()
            case FanOutDue():
                self._fan_out.look()
            case LookEverywhere():
                self._lookout.look()

    def clock_jumped(self, by: float) -> None:
        """The clock was set by so many seconds, or the host slept (0)."""
        if by:
            self._posts.clock_set(by)
            self._space.clock_set(by)
        self._lookout.clock_set(by)
        self._upkeep.clock_jumped(by)

    def gained(self, shards: Iterable[int]) -> None:
        now = self._clock.now()
        taken = dict.fromkeys(shards, now)
        self._posts.owned.update(taken)
        self._posts.wake.set()
        self._lookout.look()
        if LEADING in taken:
            self._upkeep.look()

    def lost(self, shards: Iterable[int]) -> None:
        """Send nothing more for these; what is in flight is settled when it ends, guarded by its state."""
        gone = set(shards)
        self._draining -= gone
        self._posts.forget_shards(gone)

    def busy(self, shard: int) -> bool:
        """Whether something of the shard is in flight or not yet settled."""
        return self._attempts.unsettled[shard] > 0

    async def drain(self, count: int, patience: float) -> list[int]:
        """Up to `count` shards with nothing under way, to be given away at once.

        If there are none, nothing more is started for those with the least under way until they are drained
        or `patience` seconds are over; then those that are not go on.
        """
        owned, unsettled = self._posts.owned, self._attempts.unsettled
        chosen = sorted(owned, key=lambda shard: (unsettled[shard], shard))[:count]
        if any(not unsettled[shard] for shard in chosen):
            return [shard for shard in chosen if not unsettled[shard]]
        self._draining.update(chosen)
        drained = self._attempts.drained
        deadline = self._clock.steady() + min(patience, self._policy.longest + 10)
        while any(unsettled[shard] for shard in chosen if shard in owned) and self._clock.steady() < deadline:
            drained.clear()
            left = min(0.5, deadline - self._clock.steady())
            await self._clock.wait(drained, self._clock.now() + left)
        self._draining.difference_update(chosen)
        for post in self._posts:
            if post.shard in chosen:
                self._posts.mark(post)
        return [shard for shard in chosen if shard in owned and not unsettled[shard]]

    # the rounds

    async def _go_round(self) -> None:
        rounds, wake = self._posts.rounds, self._posts.wake
        while True:
            wake.clear()
            rounds.tick(self._clock.now())
            for post in self._space.woken(self._clock.now()):
                rounds.mark(post)
            for _ in range(BURST):
                if not rounds or not self._room():
                    break
                self._turn(rounds.next())
            else:
                await asyncio.sleep(0)
                continue
            longest = CRAMPED if rounds else FOREVER
            next_at = min(rounds.next_at, self._space.next_at, self._clock.now() + longest)
            await self._clock.wait(wake, next_at)

    def _room(self) -> bool:
        return (
            not self._stopping
            and self._ownership.sure
            and not self._space.full
            and not self._settler.full
            and not self._settler.stuck
        )

    def _turn(self, post: Post) -> None:
        if post.closed or post.shard in self._draining:
            return
        if post.stale:
            self._loader.want_config(post.app_id, post.endpoint_id)
            return
        assert post.target is not None
        if post.placing is not Placing.DONE:
            self._placement.want(post)
            return
        if post.halted or not post.target.active or (self._outages and not self._outages.admits(post)):
            return
        now = self._clock.now()
        lane = post.lane
        held_back = not self._space.admits(post, now)
        post.admitted = False
        if held_back and lane.free_at() <= now:
            self._space.wait(post)
        match lane.turn(now, self._posts.window(lane), held_back=held_back):
            case Send(held):
                self._attempts.start(post, held, now)
                self._posts.mark(post)
            case Load(count, after):
                self._loader.want(Wanted(post.endpoint_id, post.shard, post.target.fifo, count, after))
                self._posts.mark(post)
            case Wait(until):
                self._posts.rounds.wait(post, until)

    # what the database says

    def _settled(self, batch: list[Outcome], due: list[float | None]) -> None:
        self._attempts.settled(batch, due)
        self._bookkeeper.note(outcome.settlement for outcome in batch)

    def _leads(self) -> bool:
        return LEADING in self._posts.owned and not self._stopping


async def _watched(run: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run a part for ever; a fault in it is logged, and the part begins again after a moment."""
    while True:
        try:
            await run()
        except Exception:
            log.exception("part.broken", part=getattr(run, "__qualname__", "?"))
            await asyncio.sleep(1)
        else:
            return
