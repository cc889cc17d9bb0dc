"""Attempts under way, from the moment a lane says send until the outcome is settled."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from functools import partial

import msgspec
import structlog

from angarium.clock import Clock
from angarium.core import ids
from angarium.core.failure import KINDS, FailureKind, Side
from angarium.core.hand import Held
from angarium.core.health import HEALTHY, Health
from angarium.core.lifecycle import Effect, Move, Transition
from angarium.core.outage import FaultDetector
from angarium.core.outcome import AttemptResult
from angarium.dispatch.alert import FAILING, Alert
from angarium.dispatch.exchange import Exchange
from angarium.dispatch.outages import Outages, SendingFault
from angarium.dispatch.post import Post
from angarium.dispatch.posts import Posts
from angarium.dispatch.request_builder import RequestBuilder
from angarium.dispatch.room import Room
from angarium.dispatch.sender import Request, Sender
from angarium.dispatch.settler import Outcome, Settler
from angarium.dispatch.target import Target
from angarium.store.disable import Disable
from angarium.store.settle import HealthRecord, Settlement

log = structlog.get_logger(__name__)


class _Attempt:
    """One under way: what it was begun with, and the exchange that it waits for."""

    __slots__ = ("exchange", "failing", "held", "post", "probe", "request", "started", "target")

    def __init__(self, post: Post, held: Held, target: Target, started: float, failing: bool) -> None:
        self.post = post
        self.failing = failing  # the endpoint, when it started
        self.held = held
        self.target = target
        self.started = started
        self.request: Request | None = None
        self.exchange: Exchange | None = None
        self.probe: SendingFault | None = None


class Attempts:
    """Starts attempts, tells the lane what came of each, and hands the outcome on to be settled."""

    def __init__(
        self,
        posts: Posts,
        room: Room,
        builder: RequestBuilder,
        sender: Sender,
        settler: Settler,
        outages: Outages,
        clock: Clock,
    ) -> None:
        self._posts = posts
        self._room = room
        self._outages = outages
        self._builder = builder
        self._sender = sender
        self._settler = settler
        self._clock = clock
        self._detector = FaultDetector()
        self._flying: set[_Attempt] = set()
        self._landed = asyncio.Event()  # none is in flight any more
        self._log = log.bind()  # a lazy logger costs at each look
        self.unsettled: Counter[int] = Counter()  # shard -> deliveries in flight or not yet settled
        self.drained = asyncio.Event()  # some were settled

    def __len__(self) -> int:
        """How many are in flight."""
        return len(self._flying)

    def start(self, post: Post, held: Held, now: float) -> None:
        """Make an attempt."""
        assert post.target is not None
        post.used_at = now
        self.unsettled[post.shard] += 1
        attempt = _Attempt(post, held, post.target, now, self._room.started(post.lane, now))
        if self._outages:
            attempt.probe = self._outages.probe(post)
        self._flying.add(attempt)
        try:
            attempt.request = self._builder.request(attempt.target, held, now)
            if attempt.request is not None:
                attempt.exchange = self._sender.start(attempt.request, partial(self._ended, attempt))
        except Exception:
            self._broken(attempt)
        else:
            if attempt.request is None:
                self._ended(attempt, None)

    async def ended(self, timeout: float) -> None:
        """Return when none is in flight any more; what still is after the timeout is broken off."""
        try:
            async with asyncio.timeout(timeout):
                while self._flying:
                    self._landed.clear()
                    await self._landed.wait()
        except TimeoutError:
            for attempt in self._flying:
                self._sender.drop(attempt.exchange)
            self._flying.clear()

    def settled(self, batch: list[Outcome], due: list[float | None]) -> None:
        """Outcomes are committed; `due`: when each delivery's next attempt is due, if it has one."""
        for outcome, due_at in zip(batch, due, strict=True):
            post = outcome.post
            self.unsettled[post.shard] -= 1
            post.lane.settled(outcome.settlement.message_id, due_at)
            if outcome.disable is None or post.stale:
                self._posts.mark(post)
            else:
                self._posts.forget(post)  # whether it is disabled still, the table knows
        self._posts.wake.set()
        self.drained.set()

    def _ended(self, attempt: _Attempt, result: AttemptResult | None) -> None:
        try:
            result = self._attributed(attempt, result)
            now = self._clock.now()
            transition = self._builder.transition(attempt.target, attempt.held, result, now)
            if transition.move is Move.WAIT and result is not None and result.kind is not None:
                self._wait(attempt, result.kind)
                return
            settlement = self._builder.settlement(
                attempt.target, attempt.held, attempt.started, attempt.request, result, transition
            )
            self._tell(attempt, settlement)
            outcome = self._outcome(attempt, settlement, transition, now)
        except Exception:
            self._broken(attempt)
            return
        self._over(attempt)
        if attempt.probe is not None and result is not None:
            self._outages.passed(attempt.probe)
        self._settler.put(outcome)
        self._posts.mark(attempt.post)

    def _attributed(self, attempt: _Attempt, result: AttemptResult | None) -> AttemptResult | None:
        """The result, with the kind of ours in place of an ambiguous one if the failure is ours."""
        exchange = attempt.exchange
        if result is None or exchange is None:
            return result
        kind, now = result.kind, self._clock.steady()
        if kind is None or kind.side is Side.RECEIVER:
            if not exchange.origin.trusted:  # our own inboxes say nothing about the network
                self._detector.reached(now)
        elif kind.becomes is not None and self._detector.failed(kind, exchange.origin.host, now):
            return msgspec.structs.replace(result, kind=KINDS[kind.becomes])
        return result

    def _wait(self, attempt: _Attempt, kind: FailureKind) -> None:
        """A failure on our side: nothing is recorded, and the delivery waits until the fault is gone."""
        self._over(attempt)
        post = attempt.post
        self.unsettled[post.shard] -= 1
        self.drained.set()
        post.lane.returned(attempt.held, self._clock.now(), last=kind.lane_only)
        self._outages.failed(post, kind, attempt.probe)
        self._posts.mark(post)

    def _broken(self, attempt: _Attempt) -> None:
        """A bug of ours costs neither the delivery nor the dispatcher."""
        log.exception("attempt.broken", message=ids.text(ids.MESSAGE, attempt.held.message_id))
        self._wait(attempt, KINDS["internal"])

    def _over(self, attempt: _Attempt) -> None:
        self._flying.discard(attempt)
        self._room.ended(attempt.failing)
        if self._posts.rounds or self._room.waited_for:
            self._posts.wake.set()  # there is room for one that waits for its turn
        if not self._flying:
            self._landed.set()

    def _outcome(
        self, attempt: _Attempt, settlement: Settlement, transition: Transition, now: float
    ) -> Outcome:
        """What is to be settled; the lane and the endpoint's health are updated at once."""
        post = attempt.post
        # The lane may have another owner by now, or the endpoint may have been enabled or given another URL:
        # then the attempt says nothing about the endpoint as it is.
        telling = not post.closed and post.generation == attempt.target.generation
        health = disable = alert = None
        if telling:
            health, disable, alert = _consequences(post, attempt.target, transition, now)
            post.halted = post.halted or disable is not None
        post.lane.answered(
            settlement.message_id,
            delivered=transition.move in (Move.DELIVER, Move.CANCEL),
            overload=transition.slows,
            pause=transition.pause,
            now=now,
            took=now - attempt.started,
            telling=telling,
        )
        return Outcome(post, settlement, health, disable, alert)

    def _tell(self, attempt: _Attempt, settlement: Settlement) -> None:
        """The line in the log."""
        log = self._log
        if not log.is_enabled_for(logging.INFO):
            return
        answer = settlement.answer
        log.info(
            "delivery.attempted",
            message=ids.text(ids.MESSAGE, settlement.message_id),
            endpoint=ids.text(ids.ENDPOINT, attempt.post.endpoint_id),
            attempt=settlement.number,
            manual=settlement.manual_at is not None,
            move=settlement.move.name.lower(),
            status=answer.status_code if answer else None,
            error=answer.error_code if answer else None,
            duration_ms=answer.duration_ms if answer else None,
        )


def _consequences(
    post: Post, target: Target, transition: Transition, now: float
) -> tuple[HealthRecord | None, Disable | None, Alert | None]:
    """What changed of the endpoint's health, whether it is disabled, and whether its operator is warned."""
    if transition.effect is Effect.NONE:
        return None, None, None
    if transition.effect is Effect.RESET:
        return _noted(post, HEALTHY), None, None
    rule = target.product.disable
    noted = _noted(post, rule.failed(post.health, transition.move, now))
    reason = rule.reason(post.health, transition, now)
    named = target.org_id, post.app_id, post.endpoint_id
    if reason is not None:
        return noted, Disable(*named, reason, post.health.failing_since, target.generation), None
    failures = post.health.failures
    if failures not in rule.warnings:
        return noted, None, None
    facts = {"failures": failures, "fraction": rule.warnings[failures]}
    return noted, None, Alert(FAILING, *named, facts)


def _noted(post: Post, health: Health) -> HealthRecord | None:
    """Keep the health of the endpoint; what to write of it, if it changed."""
    if health == post.health:
        return None
    post.health = health
    return HealthRecord(post.app_id, post.endpoint_id, health, post.generation)
