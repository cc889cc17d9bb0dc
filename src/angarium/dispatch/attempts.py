"""Attempts under way, from the moment a lane says send until the outcome is settled."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from functools import partial
from typing import Final

import structlog

from angarium.clock import Clock
from angarium.core import ids
from angarium.core.health import HEALTHY, Health
from angarium.core.lane import Held
from angarium.core.lifecycle import Move
from angarium.core.outcome import Answer, Verdict
from angarium.dispatch.alert import FAILING, Alert
from angarium.dispatch.courier import Courier, Result
from angarium.dispatch.exchange import Exchange
from angarium.dispatch.post import Post
from angarium.dispatch.posts import Posts
from angarium.dispatch.room import Room
from angarium.dispatch.sender import Request, Sender
from angarium.dispatch.settler import Disable, Outcome, Settler
from angarium.dispatch.target import Target
from angarium.store.settle import Health as Noted

log = structlog.get_logger(__name__)

BROKEN_PAUSE: Final = 5.0  # seconds that a lane rests after a fault of ours


class _Attempt:
    """One under way: what it was begun with, and the exchange that it waits for."""

    __slots__ = ("exchange", "failing", "held", "post", "request", "started", "target")

    def __init__(self, post: Post, held: Held, target: Target, started: float, failing: bool) -> None:
        self.post = post
        self.failing = failing  # the endpoint, when it started
        self.held = held
        self.target = target
        self.started = started
        self.request: Request | None = None
        self.exchange: Exchange | None = None


class Attempts:
    """Starts attempts, tells the lane what came of each, and hands the outcome on to be settled."""

    def __init__(
        self, posts: Posts, room: Room, courier: Courier, sender: Sender, settler: Settler, clock: Clock
    ) -> None:
        self._posts = posts
        self._room = room
        self._courier = courier
        self._sender = sender
        self._settler = settler
        self._clock = clock
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
        self._flying.add(attempt)
        try:
            attempt.request = self._courier.request(attempt.target, held, now)
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

    def _ended(self, attempt: _Attempt, answer: Answer | None) -> None:
        try:
            result = self._courier.result(
                attempt.target, attempt.held, attempt.started, attempt.request, answer
            )
        except Exception:
            self._broken(attempt)
            return
        self._over(attempt)
        post, held = attempt.post, attempt.held
        try:
            outcome = self._outcome(attempt, result)
            self._tell(post, held, result)
        except Exception:
            # a fault of ours again: what is not recorded is made again
            log.exception("attempt.lost", message=ids.text(ids.MESSAGE, held.message_id))
            self.unsettled[post.shard] -= 1
            post.lane.settled(held.message_id, self._clock.now() + BROKEN_PAUSE)
        else:
            self._settler.put(outcome)
        self._posts.mark(post)

    def _broken(self, attempt: _Attempt) -> None:
        """A fault of ours must cost neither the delivery nor the dispatcher: the table still has it."""
        log.exception("attempt.broken", message=ids.text(ids.MESSAGE, attempt.held.message_id))
        self._over(attempt)
        self.unsettled[attempt.post.shard] -= 1
        attempt.post.lane.dropped(attempt.held.message_id, self._clock.now(), BROKEN_PAUSE)
        self._posts.mark(attempt.post)

    def _over(self, attempt: _Attempt) -> None:
        self._flying.discard(attempt)
        self._room.ended(attempt.failing)
        if self._posts.rounds or self._room.waited_for:
            self._posts.wake.set()  # there is room for one that waits for its turn
        if not self._flying:
            self._landed.set()

    def _outcome(self, attempt: _Attempt, result: Result) -> Outcome:
        """What is to be settled; the lane and the endpoint's health are updated at once."""
        post, held, judgement = attempt.post, attempt.held, result.judgement
        delivered = judgement.verdict is Verdict.DELIVERED
        # The lane may have another owner by now, or the endpoint may have been enabled or given another URL:
        # then the attempt says nothing about the endpoint as it is.
        telling = not post.closed and post.generation == attempt.target.generation
        post.lane.answered(
            held.message_id,
            delivered=delivered or result.settlement.move is Move.CANCEL,
            overload=judgement.overload,
            pause=judgement.pause,
            now=result.ended_at,
            took=result.ended_at - attempt.started,
            telling=telling,
        )
        health = disable = alert = None
        if telling and result.settlement.answer is not None:
            health, disable, alert = _consequences(post, attempt.target, held, result)
            post.halted = post.halted or disable is not None
        return Outcome(post, result.settlement, health, disable, alert)

    def _tell(self, post: Post, held: Held, result: Result) -> None:
        """The line in the log."""
        log = self._log
        if not log.is_enabled_for(logging.INFO):
            return
        answer = result.settlement.answer
        log.info(
            "delivery.attempted",
            message=ids.text(ids.MESSAGE, held.message_id),
            endpoint=ids.text(ids.ENDPOINT, post.endpoint_id),
            attempt=result.settlement.number,
            manual=held.manual_at is not None,
            move=result.settlement.move.name.lower(),
            status=answer.status_code if answer else None,
            error=answer.error_code if answer else None,
            duration_ms=answer.duration_ms if answer else None,
        )


def _consequences(
    post: Post, target: Target, held: Held, result: Result
) -> tuple[Noted | None, Disable | None, Alert | None]:
    """What changed of the endpoint's health, whether it is disabled, and whether its operator is warned."""
    if result.judgement.verdict is Verdict.DELIVERED:
        return _noted(post, HEALTHY), None, None
    if held.manual_at is not None or held.test:
        return None, None, None
    rule, move, now = target.product.disable, result.settlement.move, result.ended_at
    noted = _noted(post, rule.failed(post.health, move, now))
    reason = rule.reason(post.health, result.judgement.verdict, move, now)
    named = target.org_id, post.app_id, post.endpoint_id
    if reason is not None:
        return noted, Disable(*named, reason, post.health.failing_since, target.generation), None
    failures = post.health.failures
    if failures not in rule.warnings:
        return noted, None, None
    facts = {"failures": failures, "fraction": rule.warnings[failures]}
    return noted, None, Alert(FAILING, *named, facts)


def _noted(post: Post, health: Health) -> Noted | None:
    """Keep the health of the endpoint; what to write of it, if it changed."""
    if health == post.health:
        return None
    post.health = health
    return Noted(
        post.app_id,
        post.endpoint_id,
        health.failing_since,
        health.failures,
        health.run_since,
        health.run_until,
        health.clock_since,
        post.generation,
    )
