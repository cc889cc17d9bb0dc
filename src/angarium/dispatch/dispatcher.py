"""Runs the lanes of the shards that this process owns.

Lanes decide what to do (core/lane.py). The dispatcher gives them accepted deliveries and carries out their
decisions: send, load or wait. All state belongs to one event loop. Nothing here blocks.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Final

import structlog

from angarium.alert.channel import Channels
from angarium.clock import Clock
from angarium.core.errors import StoreReason
from angarium.core.event import NO_EVENTS, Events
from angarium.core.keyring import Keyring
from angarium.core.lane import Load, Send, Wait
from angarium.core.pace import Pace
from angarium.core.product import Product
from angarium.core.read_position import FIRST
from angarium.core.trace import NO_TRACER, Tracer
from angarium.dispatch.active_lane import ActiveLane, Placing
from angarium.dispatch.alert_sender import AlertSender
from angarium.dispatch.attempts import AttemptRunner
from angarium.dispatch.backlog_poller import BacklogPoller
from angarium.dispatch.completer import Completer, Outcome
from angarium.dispatch.dispatcher_state import DispatcherState
from angarium.dispatch.fan_out import FanOut
from angarium.dispatch.fault_report import FaultReport
from angarium.dispatch.lane_registry import DispatchLimits, LaneRegistry
from angarium.dispatch.load_handler import LoadHandler
from angarium.dispatch.loader import Loader
from angarium.dispatch.maintenance import Maintenance
from angarium.dispatch.notifier import Notifier
from angarium.dispatch.outages import Outages
from angarium.dispatch.ownership import Ownership
from angarium.dispatch.peer.frame import HandOver
from angarium.dispatch.peer.listener import Listener
from angarium.dispatch.peer.sharing import Sharing
from angarium.dispatch.placement import Placement
from angarium.dispatch.request_builder import RequestBuilder
from angarium.dispatch.room import Room
from angarium.dispatch.stats_recorder import StatsRecorder
from angarium.dispatch.transport.sender import Sender
from angarium.shutdown import Shutdown
from angarium.store.accept import NewDelivery
from angarium.store.database import Database
from angarium.store.guard import Guard
from angarium.store.hint import Changed, Erased, HealthReset, Hint, LookEverywhere, Task, Work
from angarium.store.hint import FanOutDue as FanOutDue
from angarium.store.load import Wanted
from angarium.store.retention import Retention
from angarium.store.shard import PULLED, SHARDS

log = structlog.get_logger(__name__)

BURST: Final = 200  # turns before other tasks of the event loop run,
BURST_TIME: Final = 0.002  # or seconds,
FAILING_BURST_TIME: Final = 0.0005  # which are fewer for failing lanes: other lanes must not wait for them
FOREVER: Final = 3600.0  # the longest sleep
CRAMPED: Final = 0.5  # the same while lanes are ready but there is no room
FOR_OUTCOMES: Final = 2.0  # of the last seconds of a stop, so many are for the outcomes of attempts
FOR_RELEASE: Final = 1.0  # and so many for releasing the shards
LEADING: Final = 0  # the owner of this shard does the maintenance


class Dispatcher:
    """Sends the deliveries of its shards. Intake calls `hand_over` after each commit."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        entropy: Callable[[int], bytes],
        sender: Sender,
        keyring: Keyring,
        products: Mapping[str, Product],
        policy: DispatchLimits,
        *,
        retention: Retention | None = None,
        guard: Guard | None = None,
        chance: random.Random | None = None,
        events: Events = NO_EVENTS,
        tracer: Tracer = NO_TRACER,
        channels: Channels | None = None,
        peer_address: tuple[str, int] | None = None,
    ) -> None:
        """`channels`: where alerts to people go; None: no alerts are sent. `peer_address`: host and port
        where processes of other hosts hand over deliveries; None: they send hints."""
        chance = chance or random.Random(entropy(16))  # noqa: S311 (for jitter, not for security)
        self._clock = clock
        self._sender = sender
        self._policy = policy
        self._guard = guard or Guard()
        self._pace = Pace(clock.steady())
        self._registry = LaneRegistry(clock, policy)
        self._draining: set[int] = set()
        self._stopping = False
        self._retiring: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._notifier = Notifier(database)
        self._sharing = Sharing(clock, entropy, keyring, self._notifier)
        self._listener = Listener(
            *(self._sharing.instance, self._sharing.key, entropy, self.received, peer_address)
        )
        retention = retention or Retention()
        history = retention.history.total_seconds()
        channels = channels or Channels()
        self._completer = Completer(
            database, clock, entropy, self._completed, self.hand_over, history, events, channels.audience
        )
        self._space = Room(policy.in_flight_total)
        name = f"{os.getpid()}-{entropy(2).hex()}"
        self._outages = Outages(self._registry, clock, name)
        self._report = FaultReport(database, clock, self._outages, name)
        builder = RequestBuilder(entropy, chance)
        self._attempts = AttemptRunner(
            self._registry,
            self._space,
            builder,
            sender,
            self._completer,
            self._outages,
            clock,
            events,
            tracer,
        )
        handler = LoadHandler(self._registry, clock, products, keyring, self._completer.parked)
        self._loader = Loader(database, clock, handler)
        self._backlog_poller = BacklogPoller(
            database,
            clock,
            owned=lambda: self._registry.owned,
            seen=handler.seen,
            inactive=handler.take_inactive,
        )
        self._placement = Placement(database, clock, self._registry)
        self._ownership = Ownership(
            *(database, self, chance),
            held=lambda: self._guard.hold is not None,
            events=events,
            peers=self._sharing,
        )
        self._maintenance = Maintenance(database, clock, self._leads, retention, events)
        self._stats_recorder = StatsRecorder(database, clock, events)
        self._alert_sender = AlertSender(
            database, clock, entropy, lambda: self.sends_alerts, keyring, products, channels
        )
        self._fan_out = FanOut(database, clock, self.hand_over, lambda: len(self._attempts), events, tracer)

    @property
    def owned(self) -> frozenset[int]:
        """The shards that this process owns."""
        return frozenset(self._registry.owned)

    @property
    def waiting(self) -> StoreReason | None:
        """Why outcomes wait for the database; None if they do not."""
        return self._completer.waiting

    @property
    def sends_alerts(self) -> bool:
        """Whether this process sends alerts: one does, and none while a restored database is held, whose
        alerts were perhaps sent before."""
        return self._leads() and self._guard.hold is None

    @property
    def ownership(self) -> Ownership:
        """What holds the shards."""
        return self._ownership

    @property
    def ended(self) -> list[str]:
        """The parts that ended although the dispatcher is not stopping."""
        return [] if self._stopping else [task.get_name() for task in self._tasks if task.done()]

    @property
    def leads(self) -> bool:
        """Whether this process does the maintenance."""
        return self._leads()

    def state(self) -> DispatcherState:
        """What this dispatcher does now, for metrics."""
        return DispatcherState.of(
            *(self._registry, self._space, self._completer, self._outages, self._ownership, self._sender)
        )

    # start and stop

    async def start(self) -> None:
        """Start taking shards and sending."""
        await self._sender.prepare()
        await self._notifier.start()
        await self._listener.start()
        self._sharing.addresses = self._listener.addresses
        parts = (
            self._completer,
            self._loader,
            self._placement,
            self._backlog_poller,
            self._maintenance,
            self._stats_recorder,
            self._report,
            self._fan_out,
            self._alert_sender,
            self._ownership,
        )
        for run in (self._go_round, *(part.run for part in parts)):
            self._tasks.append(asyncio.create_task(_watched(run), name=run.__qualname__.removesuffix(".run")))

    async def first_share(self) -> None:
        """Return when a first share of shards was taken, or cannot be for now, or the stop has begun."""
        await self._ownership.first_share.wait()

    async def retire(self, shutdown: Shutdown | None = None) -> None:
        """Stop sending, wait for attempts in flight, complete them, and release each shard once none of its
        attempts is under way. What is handed over afterwards goes to other processes. The first call counts;
        the others wait for it."""
        if self._retiring is None:
            self._retiring = asyncio.create_task(self._retire(shutdown or Shutdown()), name="retire")
        await asyncio.shield(self._retiring)

    async def _retire(self, shutdown: Shutdown) -> None:
        self._stopping = True
        self._ownership.retire()
        self._ownership.first_share.set()  # a start that is stopped does not wait for it
        patience = self._policy.longest + 5
        await self._attempts.ended(shutdown.within(patience, reserve=FOR_OUTCOMES + FOR_RELEASE))
        try:
            async with shutdown.within(patience, reserve=FOR_RELEASE):
                await self._completer.drained()
                await self._completer.try_parked()
        except TimeoutError:
            log.error("stop.incomplete", deliveries=self._attempts.incomplete.total())
        self._ownership.stop()
        await asyncio.wait(self._tasks[-1:], timeout=min(5, shutdown.left))
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    async def stop(self) -> None:
        """Retire, then close everything."""
        await self.retire()
        await self._stats_recorder.write()
        await self._report.stop()
        await self._listener.stop()
        self._sharing.close()
        await self._notifier.stop()
        await self._sender.close()

    # input

    def hand_over(self, new_deliveries: Sequence[NewDelivery], since: float) -> None:
        """Take deliveries that were committed after `since`. Those of our shards go into their lanes, those
        of others to their owners.

        If we took a shard after `since`, its former owner may have sent them, so the lanes read them from the
        database instead.
        """
        now = self._clock.now()
        foreign: list[NewDelivery] = []
        for one in new_deliveries:
            owned_since = self._registry.owned.get(one.shard)
            if owned_since is not None:
                self._registry.arrive(one, one.due_at, now, doubtful=owned_since > since)
            elif one.shard != PULLED:  # otherwise its listener pulls it
                foreign.append(one)
        if foreign:
            self._sharing.give(foreign, since)

    def received(self, hand_over: HandOver) -> None:
        """Another process hands over deliveries of our shards, as it believes."""
        now = self._clock.now()
        foreign: list[NewDelivery] = []
        for one in hand_over.deliveries:
            if one.shard not in self._registry.owned:
                foreign.append(one)
                continue
            # the clocks of two hosts differ by a little: what was due there is due
            due_at = min(one.due_at, now) if one.due_at <= hand_over.sent_at else one.due_at
            doubtful = hand_over.tenures.get(one.shard) != self._ownership.tenure(one.shard)
            self._registry.arrive(one, due_at, now, doubtful=doubtful)
        if foreign:
            self._notifier.tell(foreign)

    def fan_out(self) -> None:
        """A message was accepted whose deliveries are not written yet."""
        if self._stopping:
            self._notifier.fan_out()
        else:
            self._fan_out.look()

    def hinted(self, hint: Hint) -> None:
        """Another process sent a hint."""
        now = self._clock.now()
        match hint:
            case Work(lanes):
                for app_id, endpoint_id, message_id, seq in lanes:
                    if self._registry.ours(endpoint_id):
                        opened = self._registry.open(app_id, endpoint_id)
                        if seq == FIRST:
                            opened.unplaced()
                        since = opened.lane.place(message_id, seq)
                        self._registry.news(opened, now, manual=True, since=since)
            case Changed(endpoint_id) | HealthReset(endpoint_id):
                active = self._registry.get(endpoint_id)
                if active is not None:
                    active.stale = True
                    self._registry.news(active, now)
            case Erased(message_id):
                self._registry.erased(message_id)
            case Task():
                self._maintenance.look()
            case FanOutDue():
                self._fan_out.look()
            case LookEverywhere():
                self._backlog_poller.look()

    def clock_jumped(self, by: float) -> None:
        """The clock was set by `by` seconds, or the host slept (0)."""
        if by:
            self._registry.clock_set(by)
            self._space.clock_set(by)
        self._backlog_poller.clock_set(by)
        self._sharing.clock_jumped()
        self._maintenance.clock_jumped(by)

    def gained(self, shards: Iterable[int]) -> None:
        now = self._clock.now()
        taken = dict.fromkeys(shards, now)
        self._registry.owned.update(taken)
        self._registry.wake.set()
        self._backlog_poller.look()
        if LEADING in taken:
            self._maintenance.look()

    def lost(self, shards: Iterable[int]) -> None:
        """Stop sending for these shards. Attempts in flight are completed when they end, guarded by their
        state."""
        gone = set(shards)
        self._draining -= gone
        self._registry.forget_shards(gone)

    def busy(self, shard: int) -> bool:
        """Whether any attempt of the shard is in flight or not yet completed."""
        return self._attempts.incomplete[shard] > 0

    async def drain(self, count: int, patience: float) -> list[int]:
        """Up to `count` shards with no attempts under way, to be released at once.

        If there are none, the shards with the fewest attempts under way start no more until they are drained
        or `patience` seconds have passed. Those not drained by then continue.
        """
        owned, incomplete = self._registry.owned, self._attempts.incomplete
        chosen = sorted(owned, key=lambda shard: (incomplete[shard], shard))[:count]
        if any(not incomplete[shard] for shard in chosen):
            return [shard for shard in chosen if not incomplete[shard]]
        self._draining.update(chosen)
        drained = self._attempts.drained
        deadline = self._clock.steady() + min(patience, self._policy.longest + 10)
        while (
            any(incomplete[shard] for shard in chosen if shard in owned) and self._clock.steady() < deadline
        ):
            drained.clear()
            left = min(0.5, deadline - self._clock.steady())
            await self._clock.wait(drained, self._clock.now() + left)
        self._draining.difference_update(chosen)
        for active in self._registry:
            if active.shard in chosen:
                self._registry.mark(active)
        return [shard for shard in chosen if shard in owned and not incomplete[shard]]

    # lanes in turn

    async def _go_round(self) -> None:
        ready_queue, wake = self._registry.ready_queue, self._registry.wake
        while True:
            wake.clear()
            ready_queue.tick(self._clock.now())
            for active in self._space.woken(self._clock.now()):
                ready_queue.mark(active)
            begun = self._clock.steady()
            for _ in range(BURST):
                if not ready_queue or not self._room():
                    break
                active = ready_queue.next()
                self._turn(active)
                burst = FAILING_BURST_TIME if active.lane.failing else BURST_TIME
                if self._clock.steady() - begun >= burst:
                    await asyncio.sleep(0)
                    begun = self._clock.steady()
            else:
                await asyncio.sleep(0)
                continue
            longest = CRAMPED if ready_queue else FOREVER
            if self._guard.limited:
                longest = min(longest, self._pace.wait(self._rate()))
            next_at = min(ready_queue.next_at, self._space.next_at, self._clock.now() + longest)
            await self._clock.wait(wake, next_at)

    def _rate(self) -> float:
        """This process's share of the pace after a restore, in starts a second."""
        return (self._guard.pace or 0) * len(self._registry.owned) / SHARDS

    def _paced(self) -> bool:
        """Whether a delivery must wait for the pace."""
        if self._pace.admits(self._rate(), self._clock.steady()):
            return False
        self._guard.limited = True
        return True

    def _room(self) -> bool:
        return (
            not self._stopping
            and self._guard.hold is None
            and not (self._guard.pace is not None and self._paced())
            and self._ownership.sure
            and not self._space.full
            and not self._completer.full
            and not self._completer.stuck
        )

    def _turn(self, active: ActiveLane) -> None:
        if active.closed or active.shard in self._draining:
            return
        if active.stale:
            self._loader.want_config(active.app_id, active.endpoint_id)
            return
        assert active.target is not None
        if active.placing is not Placing.DONE:
            self._placement.want(active)
            return
        if active.halted or not active.target.active or (self._outages and not self._outages.admits(active)):
            return
        now = self._clock.now()
        lane = active.lane
        held_back = not self._space.admits(active, now)
        active.admitted = False
        if held_back and lane.free_at() <= now:
            self._space.wait(active)
        match lane.turn(now, self._registry.window(lane), held_back=held_back):
            case Send(queued):
                self._attempts.start(active, queued, now)
                self._pace.started()
                self._registry.mark(active)
            case Load(count, after):
                wanted = Wanted(active.endpoint_id, active.shard, active.target.fifo, count, after)
                self._loader.want(wanted, patience=active.patience)
                self._registry.mark(active)
            case Wait(until):
                if patience := active.patience:
                    until = math.ceil(until / patience) * patience  # together with others
                self._registry.ready_queue.wait(active, until)

    # callbacks

    def _completed(self, batch: list[Outcome], due: list[float | None]) -> None:
        self._attempts.completed(batch, due)
        self._stats_recorder.note(outcome.completion for outcome in batch)

    def _leads(self) -> bool:
        return LEADING in self._registry.owned and not self._stopping


async def _watched(run: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run a part. If it fails, log the error and start it again after a second."""
    while True:
        try:
            await run()
        except Exception:
            log.exception("part.broken", part=getattr(run, "__qualname__", "?"))
            await asyncio.sleep(1)
        else:
            return
