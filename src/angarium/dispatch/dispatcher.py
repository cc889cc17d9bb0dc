"""The dispatcher: goes round the lanes of its shards and acts for them.

Lanes decide (core/lane.py); this module sends, loads and settles through its couriers, loader and
settler, and tells the lanes what came of it. All state belongs to one event loop; nothing here blocks.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog

from angarium.clock import Clock
from angarium.core import ids
from angarium.core.keyring import Keyring, SealError
from angarium.core.lane import Held, Lane, Limits, Load, Send, Wait
from angarium.core.lifecycle import Move
from angarium.core.nouns import State
from angarium.core.outcome import Verdict
from angarium.core.product import STANDARD, Product
from angarium.dispatch.alert import FAILING, Alert
from angarium.dispatch.courier import Courier, Result
from angarium.dispatch.herald import Herald
from angarium.dispatch.hint import Changed, Hint, LookEverywhere, Task, Work
from angarium.dispatch.loader import Loader
from angarium.dispatch.lookout import Lookout
from angarium.dispatch.ownership import Ownership
from angarium.dispatch.post import Post
from angarium.dispatch.rounds import Rounds
from angarium.dispatch.sender import Sender
from angarium.dispatch.settler import Disable, Outcome, Settler
from angarium.dispatch.target import open_target
from angarium.dispatch.upkeep import Upkeep
from angarium.store.accept import Owed
from angarium.store.database import Database
from angarium.store.load import Config, LaneRef, Loaded, Wanted
from angarium.store.shard import SHARDS

log = structlog.get_logger(__name__)

IDLE: Final = 60.0  # seconds until an idle lane is forgotten
BURST: Final = 200  # turns taken before other work of the loop gets its own
BROKEN_PAUSE: Final = 5.0  # seconds that a lane rests after a fault of ours
HORIZON: Final = 60.0  # seconds ahead for which lanes are kept in memory; later ones are found in time
NARROW: Final = 4  # deliveries a lane may hold while memory is short
FOREVER: Final = 3600.0  # the longest sleep


@dataclass(frozen=True, slots=True)
class Policy:
    """How much is done at once."""

    in_flight: int = 64  # requests at once to one endpoint
    in_flight_total: int = 2000
    window: int = 128  # deliveries of one lane in memory
    held_bytes: int = 128 * 1024 * 1024  # payloads in memory, of all lanes
    longest: float = 60.0  # seconds that an attempt can take, for a stop to wait


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
        chance: random.Random | None = None,
    ) -> None:
        chance = chance or random.Random(entropy(16))  # noqa: S311 (it jitters, it guards nothing)
        self._clock = clock
        self._sender = sender
        self._keyring = keyring
        self._products = products
        self._policy = policy
        self._posts: dict[UUID, Post] = {}
        self._owned: dict[int, float] = {}  # shard -> since when
        self._draining: set[int] = set()
        self._rounds = Rounds()
        self._attempts: set[asyncio.Task[None]] = set()
        self._unsettled: Counter[int] = Counter()  # shard -> deliveries in flight or not yet settled
        self._held_bytes = 0
        self._wake = asyncio.Event()
        self._drained = asyncio.Event()
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []
        self._courier = Courier(sender, clock, entropy, chance)
        self._herald = Herald(database)
        self._settler = Settler(database, clock, entropy, self._settled, self.hand_over)
        self._loader = Loader(
            database, clock, configured=self._configured, loaded=self._loaded, failed=self._not_loaded
        )
        self._lookout = Lookout(database, clock, owned=lambda: self._owned, seen=self._seen)
        self._ownership = Ownership(database, self, chance)
        self._upkeep = Upkeep(database, clock, self._leads)

    # life

    async def start(self) -> None:
        """Begin to take shards and to deliver; returns when a first share was taken."""
        await self._herald.start()
        parts = (self._settler, self._loader, self._lookout, self._upkeep, self._ownership)
        for run in (self._go_round, *(part.run for part in parts)):
            self._tasks.append(asyncio.create_task(_watched(run), name=run.__qualname__))
        await self._ownership.settled.wait()

    async def stop(self) -> None:
        """Send nothing more, wait for what is in flight, settle it, and let go of the shards."""
        self._stopping = True
        if self._attempts:
            await asyncio.wait(self._attempts, timeout=self._policy.longest + 5)
        try:
            async with asyncio.timeout(self._policy.longest + 5):
                await self._settler.drained()
        except TimeoutError:
            log.error("stop.unsettled", deliveries=self._unsettled.total())
        self._ownership.stop()
        await asyncio.wait(self._tasks[-1:], timeout=5)
        for task in (*self._tasks, *self._attempts):
            task.cancel()
        await asyncio.wait([*self._tasks, *self._attempts])
        await self._herald.stop()
        await self._sender.close()

    # what comes in

    def hand_over(self, owed: Sequence[Owed]) -> None:
        """Deliveries just committed: ours go into their lanes, of the others their owners are told."""
        now = self._clock.now()
        foreign: list[tuple[UUID, UUID]] = []
        for one in owed:
            if one.shard not in self._owned:
                foreign.append((one.app_id, one.endpoint_id))
                continue
            post = self._post(one.app_id, one.endpoint_id)
            if one.revision > post.revision:
                post.revision = one.revision
                post.stale = post.stale or post.target is None or post.target.revision < one.revision
            if one.fifo or (self._held_bytes > self._policy.held_bytes and one.due_at <= now):
                post.lane.hint(one.due_at)
            else:
                post.lane.arrive(
                    Held(one.message_id, one.due_at, State.PENDING, 0, None, one.payload, one.event_type), now
                )
            self._mark(post)
        if foreign:
            self._herald.tell(foreign)

    def hinted(self, hint: Hint) -> None:
        """Another process says where to look."""
        now = self._clock.now()
        match hint:
            case Work(lanes):
                for app_id, endpoint_id in lanes:
                    if endpoint_id.int % SHARDS in self._owned:
                        self._news(self._post(app_id, endpoint_id), now)
            case Changed(endpoint_id):
                post = self._posts.get(endpoint_id)
                if post is not None:
                    post.stale = True
                    self._news(post, now)
            case Task():
                self._upkeep.look()
            case LookEverywhere():
                self._lookout.look()

    def gained(self, shards: Iterable[int]) -> None:
        now = self._clock.now()
        self._owned.update(dict.fromkeys(shards, now))
        self._lookout.look()

    def lost(self, shards: Iterable[int]) -> None:
        """Send nothing more for these; what is in flight is settled when it ends, guarded by its state."""
        gone = set(shards)
        for shard in gone:
            self._owned.pop(shard, None)
        self._draining -= gone
        for post in [post for post in self._posts.values() if post.shard in gone]:
            self._forget(post)

    def busy(self, shard: int) -> bool:
        """Whether something of the shard is in flight or not yet settled."""
        return self._unsettled[shard] > 0

    async def drain(self, count: int, patience: float) -> list[int]:
        """Up to `count` shards with nothing under way, to be given away at once.

        If there are none, nothing more is started for those with the least under way until they are drained
        or `patience` seconds are over; then those that are not go on.
        """
        chosen = sorted(self._owned, key=lambda shard: (self._unsettled[shard], shard))[:count]
        if any(not self._unsettled[shard] for shard in chosen):
            return [shard for shard in chosen if not self._unsettled[shard]]
        self._draining.update(chosen)
        deadline = self._clock.now() + min(patience, self._policy.longest + 10)
        while any(self._unsettled[s] for s in chosen if s in self._owned) and self._clock.now() < deadline:
            self._drained.clear()
            await self._clock.wait(self._drained, min(deadline, self._clock.now() + 0.5))
        self._draining.difference_update(chosen)
        for post in self._posts.values():
            if post.shard in chosen:
                self._mark(post)
        return [shard for shard in chosen if shard in self._owned and not self._unsettled[shard]]

    # the rounds

    async def _go_round(self) -> None:
        while True:
            self._wake.clear()
            self._rounds.tick(self._clock.now())
            for _ in range(BURST):
                if not self._rounds or not self._room():
                    break
                self._turn(self._rounds.next())
            else:
                await asyncio.sleep(0)
                continue
            await self._clock.wait(self._wake, min(self._rounds.next_at, self._clock.now() + FOREVER))

    def _room(self) -> bool:
        return (
            not self._stopping
            and len(self._attempts) < self._policy.in_flight_total
            and not self._settler.full
        )

    def _turn(self, post: Post) -> None:
        if post.closed or post.halted or post.shard in self._draining:
            return
        if post.stale:
            self._loader.want_config(post.app_id, post.endpoint_id)
            return
        assert post.target is not None
        if not post.target.active:
            return
        window = NARROW if self._held_bytes > self._policy.held_bytes else None
        now = self._clock.now()
        match post.lane.turn(now, window):
            case Send(held):
                self._send(post, held, now)
                self._mark(post)
            case Load(count):
                self._loader.want(Wanted(post.endpoint_id, post.shard, post.target.fifo, count))
                self._mark(post)
            case Wait(until):
                self._rounds.wait(post, until)

    def _send(self, post: Post, held: Held, now: float) -> None:
        post.used_at = now
        self._unsettled[post.shard] += 1
        task = asyncio.create_task(self._attempt(post, held))
        self._attempts.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._attempts.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("attempt.lost", exc_info=error)

    async def _attempt(self, post: Post, held: Held) -> None:
        assert post.target is not None
        try:
            result = await self._courier.attempt(post.target, held)
        except Exception:
            # A fault of ours must cost neither the delivery nor the dispatcher: the table still has it.
            log.exception("attempt.broken", message=ids.text(ids.MESSAGE, held.message_id))
            self._unsettled[post.shard] -= 1
            post.lane.dropped(held.message_id, self._clock.now(), BROKEN_PAUSE)
            self._mark(post)
            return
        self._answered(post, held, result)

    def _answered(self, post: Post, held: Held, result: Result) -> None:
        judgement = result.judgement
        delivered = judgement.verdict is Verdict.DELIVERED
        post.lane.answered(
            held.message_id,
            delivered=delivered or result.settlement.move is Move.CANCEL,
            overload=judgement.overload,
            pause=judgement.pause,
            now=result.ended_at,
        )
        health = disable = alert = None
        # what a lane that is not ours any more saw says nothing about the endpoint as it is now: it may
        # have another owner, or have been disabled and enabled again meanwhile
        if result.settlement.answer is not None and not post.closed:
            scheduled = held.manual_at is None
            health = post.note(
                delivered=delivered, scheduled=scheduled, state=held.state, now=result.ended_at
            )
            disable, alert = self._consequences(post, held, result)
            post.halted = post.halted or disable is not None
        self._settler.put(Outcome(post, result.settlement, health, disable, alert))
        _log_attempt(post, held, result)
        self._mark(post)

    def _consequences(self, post: Post, held: Held, result: Result) -> tuple[Disable | None, Alert | None]:
        """Whether the endpoint gets nothing more, or its operator is to be warned that this is near."""
        target = post.target
        assert target is not None
        rule = target.product.disable
        reason = rule.reason(
            verdict=result.judgement.verdict,
            move=result.settlement.move,
            failures=post.failures,
            failing_since=post.failing_since,
            now=result.ended_at,
        )
        if reason is not None:
            return Disable(target.org_id, post.app_id, post.endpoint_id, reason, post.failing_since), None
        if held.manual_at is None and not result.settlement.succeeded and post.failures in rule.warnings:
            facts = {"failures": post.failures, "fraction": rule.warnings[post.failures]}
            return None, Alert(FAILING, target.org_id, post.app_id, post.endpoint_id, facts)
        return None, None

    # what the database says

    def _settled(self, batch: list[Outcome], due: list[float | None]) -> None:
        for outcome, due_at in zip(batch, due, strict=True):
            post = outcome.post
            self._unsettled[post.shard] -= 1
            post.lane.settled(outcome.settlement.message_id, due_at)
            if outcome.disable is not None:
                post.halted = False
                post.stale = True
            self._mark(post)
        self._drained.set()

    def _configured(self, lanes: list[tuple[UUID, UUID]], configs: list[Config]) -> None:
        now = self._clock.now()
        found = {config.endpoint_id: config for config in configs}
        for _, endpoint_id in lanes:
            post = self._posts.get(endpoint_id)
            if post is None:
                continue
            config = found.get(endpoint_id)
            if config is None or not config.active:
                self._forget(post)
                continue
            try:
                product = self._products[config.profile or STANDARD]
            except KeyError:
                log.error("profile.unknown", profile=config.profile, organization=config.org_id)
                self._forget(post)
                continue
            try:
                target = open_target(config, product, self._keyring)
            except SealError as error:
                log.error("endpoint.sealed", endpoint=ids.text(ids.ENDPOINT, endpoint_id), error=error.detail)
                self._forget(post)
                continue
            post.reconfigure(config, target, self._limits(config.rate_limit, config.fifo), now)
            self._mark(post)

    def _loaded(self, wanted: list[Wanted], rows: list[Loaded], next_due: dict[UUID, float]) -> None:
        by_lane: dict[UUID, list[Held]] = {want.endpoint_id: [] for want in wanted}
        for row in rows:
            by_lane[row.endpoint_id].append(
                Held(
                    row.message_id,
                    row.due_at,
                    row.state,
                    row.failures,
                    row.manual_at,
                    row.payload,
                    row.event_type,
                    row.attempts,
                )
            )
        for want in wanted:
            post = self._posts.get(want.endpoint_id)
            if post is not None:
                post.lane.loaded(by_lane[want.endpoint_id], next_due.get(want.endpoint_id), want.room)
                self._mark(post)

    def _not_loaded(self, wanted: list[Wanted]) -> None:
        for want in wanted:
            post = self._posts.get(want.endpoint_id)
            if post is not None:
                post.lane.load_failed()
                self._mark(post)

    def _seen(self, lanes: list[LaneRef]) -> None:
        """What the table owes: whatever a lost hint would have told. Idle lanes are forgotten meanwhile."""
        now = self._clock.now()
        for lane in lanes:
            known = lane.endpoint_id in self._posts or lane.due_at < now + HORIZON
            if known and lane.endpoint_id.int % SHARDS in self._owned:
                self._news(self._post(lane.app_id, lane.endpoint_id), lane.due_at)
        for post in [p for p in self._posts.values() if p.used_at < now - IDLE and p.lane.idle(now, HORIZON)]:
            self._forget(post)

    # posts

    def _leads(self) -> bool:
        return 0 in self._owned and not self._stopping

    def _post(self, app_id: UUID, endpoint_id: UUID) -> Post:
        post = self._posts.get(endpoint_id)
        if post is None:
            shard = endpoint_id.int % SHARDS
            now = self._clock.now()
            lane = Lane(self._limits(None, fifo=False), self._owned[shard])
            post = self._posts[endpoint_id] = Post(app_id, endpoint_id, shard, lane)
            post.used_at = now
        return post

    def _limits(self, rate: int | None, fifo: bool) -> Limits:
        return Limits(self._policy.in_flight, self._policy.window, rate, fifo)

    def _news(self, post: Post, due_at: float) -> None:
        post.lane.hint(due_at)
        self._mark(post)

    def _mark(self, post: Post) -> None:
        self._held_bytes += post.lane.size - post.size
        post.size = post.lane.size
        self._rounds.mark(post)
        self._wake.set()

    def _forget(self, post: Post) -> None:
        post.closed = True
        self._held_bytes -= post.size
        post.size = 0
        self._posts.pop(post.endpoint_id, None)


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


def _log_attempt(post: Post, held: Held, result: Result) -> None:
    if not log.is_enabled_for(logging.INFO):
        return
    answer = result.settlement.answer
    log.info(
        "delivery.attempted",
        message=ids.text(ids.MESSAGE, held.message_id),
        endpoint=ids.text(ids.ENDPOINT, post.endpoint_id),
        attempt=held.failures + 1,
        manual=held.manual_at is not None,
        move=result.settlement.move.name.lower(),
        status=answer.status_code if answer else None,
        error=answer.error_code if answer else None,
        duration_ms=answer.duration_ms if answer else None,
    )
