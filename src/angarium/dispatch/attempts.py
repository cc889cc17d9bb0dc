"""Runs attempts, from a lane's decision to send until the outcome is completed."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import AbstractAsyncContextManager
from functools import partial

import msgspec
import structlog

from angarium.clock import Clock
from angarium.core import ids
from angarium.core.event import NO_EVENTS, Attempted, Events
from angarium.core.failure import KINDS, FailureKind, Side
from angarium.core.health import HEALTHY, Health
from angarium.core.lane_queue import QueuedDelivery
from angarium.core.lifecycle import Effect, Move, Transition
from angarium.core.outage import FaultDetector
from angarium.core.outcome import AttemptResult
from angarium.core.trace import NO_TRACER, OpenSpan, SpanKind, Tracer
from angarium.dispatch.active_lane import ActiveLane
from angarium.dispatch.alert import FAILING, Alert
from angarium.dispatch.completer import Completer, Outcome
from angarium.dispatch.lane_registry import LaneRegistry
from angarium.dispatch.outages import Outages, SendingFault
from angarium.dispatch.request_builder import RequestBuilder, with_trace
from angarium.dispatch.room import Room
from angarium.dispatch.target import EndpointTarget
from angarium.dispatch.transport.exchange import HttpExchange
from angarium.dispatch.transport.sender import OutgoingRequest, Sender
from angarium.store.complete import Completion, HealthRecord
from angarium.store.disable import Disable

log = structlog.get_logger(__name__)


class _Attempt:
    """An attempt in flight."""

    __slots__ = (
        "active",
        "exchange",
        "failing",
        "held",
        "lateness",
        "probe",
        "queued",
        "request",
        "span",
        "started",
        "target",
    )

    def __init__(
        self,
        active: ActiveLane,
        queued: QueuedDelivery,
        target: EndpointTarget,
        started: float,
        failing: bool,
    ) -> None:
        self.active = active
        self.failing = failing  # whether the endpoint was failing when the attempt started
        self.queued = queued
        self.target = target
        self.started = started
        self.held, self.lateness = active.lane.lateness(queued.due_at, started)
        self.request: OutgoingRequest | None = None
        self.exchange: HttpExchange | None = None
        self.probe: SendingFault | None = None
        self.span: OpenSpan | None = None


class AttemptRunner:
    """Starts attempts, reports their results to the lane, and passes the outcomes to the completer."""

    def __init__(
        self,
        registry: LaneRegistry,
        room: Room,
        builder: RequestBuilder,
        sender: Sender,
        completer: Completer,
        outages: Outages,
        clock: Clock,
        events: Events = NO_EVENTS,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._registry = registry
        self._room = room
        self._outages = outages
        self._builder = builder
        self._sender = sender
        self._completer = completer
        self._clock = clock
        self._events = events
        self._tracer = tracer
        self._detector = FaultDetector()
        self._flying: set[_Attempt] = set()
        self._landed = asyncio.Event()  # set when none is in flight
        self._log = log.bind()  # bound once, because a lazy logger costs time on each use
        self.incomplete: Counter[int] = Counter()  # shard -> deliveries in flight or not yet completed
        self.drained = asyncio.Event()  # set when some were completed

    def __len__(self) -> int:
        """How many are in flight."""
        return len(self._flying)

    def start(self, active: ActiveLane, queued: QueuedDelivery, now: float) -> None:
        """Make an attempt."""
        assert active.target is not None
        active.used_at = now
        self.incomplete[active.shard] += 1
        attempt = _Attempt(active, queued, active.target, now, self._room.started(active.lane, now))
        if self._outages:
            attempt.probe = self._outages.probe(active)
        self._flying.add(attempt)
        try:
            attempt.request = self._builder.request(attempt.target, queued, now)
            if queued.trace is not None:
                self._trace(attempt)
            if attempt.request is not None:
                attempt.exchange = self._sender.start(attempt.request, partial(self._ended, attempt))
        except Exception:
            self._broken(attempt)
        else:
            if attempt.request is None:
                self._ended(attempt, None)

    async def ended(self, limit: AbstractAsyncContextManager[None]) -> None:
        """Wait until none is in flight. If `limit` raises TimeoutError, the others are aborted."""
        try:
            async with limit:
                while self._flying:
                    self._landed.clear()
                    await self._landed.wait()
        except TimeoutError:
            for attempt in self._flying:
                self._sender.drop(attempt.exchange)
            self._flying.clear()

    def completed(self, batch: list[Outcome], due: list[float | None]) -> None:
        """Outcomes were committed. `due`: when each delivery's next attempt is due, if any."""
        for outcome, due_at in zip(batch, due, strict=True):
            active = outcome.active
            self.incomplete[active.shard] -= 1
            active.lane.completed(outcome.completion.message_id, due_at)
            if outcome.disable is None or active.stale:
                self._registry.mark(active)
            else:
                self._registry.forget(active)  # it may have been enabled again: read it from the database
        self._registry.wake.set()
        self.drained.set()

    def _ended(self, attempt: _Attempt, result: AttemptResult | None) -> None:
        try:
            result = self._attributed(attempt, result)
            now = self._clock.now()
            transition = self._builder.transition(attempt.target, attempt.queued, result, now)
            if attempt.span is not None:
                self._traced(attempt, attempt.span, result)
            if transition.move is Move.WAIT and result is not None and result.kind is not None:
                self._wait(attempt, result.kind)
                return
            completion = self._builder.completion(
                attempt.target, attempt.queued, attempt.started, attempt.request, result, transition
            )
            self._tell(attempt, completion)
            outcome = self._outcome(attempt, completion, transition, now)
        except Exception:
            self._broken(attempt)
            return
        self._over(attempt)
        if attempt.probe is not None and result is not None:
            self._outages.passed(attempt.probe)
        self._completer.put(outcome, patience=attempt.active.patience)
        self._registry.mark(attempt.active)

    def _attributed(self, attempt: _Attempt, result: AttemptResult | None) -> AttemptResult | None:
        """The result. An ambiguous kind is replaced by the kind of side `ours` if the failure is ours."""
        exchange = attempt.exchange
        if result is None or exchange is None:
            return result
        kind, now = result.kind, self._clock.steady()
        if kind is None or kind.side is Side.RECEIVER:
            if not exchange.origin.trusted:  # our own inboxes prove nothing about the network
                self._detector.reached(now)
        elif kind.becomes is not None and self._detector.failed(kind, exchange.origin.host, now):
            return msgspec.structs.replace(result, kind=KINDS[kind.becomes])
        return result

    def _wait(self, attempt: _Attempt, kind: FailureKind) -> None:
        """A failure on our side: nothing is recorded, and the delivery waits until the fault is over."""
        self._over(attempt)
        self._events.held_up(kind, attempt.target.product.name)
        active = attempt.active
        self.incomplete[active.shard] -= 1
        self.drained.set()
        active.lane.returned(attempt.queued, self._clock.now(), last=kind.lane_only)
        self._outages.failed(active, kind, attempt.probe)
        self._registry.mark(active)

    def _broken(self, attempt: _Attempt) -> None:
        """A bug: the delivery waits, and the dispatcher continues."""
        log.exception("attempt.broken", message=ids.text(ids.MESSAGE, attempt.queued.message_id))
        self._wait(attempt, KINDS["internal"])

    def _over(self, attempt: _Attempt) -> None:
        self._flying.discard(attempt)
        if self._room.ended(attempt.failing) or self._registry.ready_queue:
            self._registry.wake.set()  # another lane may start now
        if not self._flying:
            self._landed.set()

    def _outcome(
        self, attempt: _Attempt, completion: Completion, transition: Transition, now: float
    ) -> Outcome:
        """What to complete. The lane and the endpoint's health are updated at once."""
        active = attempt.active
        # If the lane has another owner by now, or the endpoint was enabled or got another URL, the attempt
        # says nothing about the endpoint as it is.
        telling = not active.closed and active.generation == attempt.target.generation
        health = disable = alert = None
        if telling:
            health, disable, alert = _consequences(active, attempt.target, transition, now)
            active.halted = active.halted or disable is not None
        active.lane.answered(
            completion.message_id,
            delivered=transition.move in (Move.DELIVER, Move.CANCEL),
            overload=transition.slows,
            pause=transition.pause,
            now=now,
            took=now - attempt.started,
            telling=telling,
        )
        return Outcome(active, completion, health, disable, alert, _attempted(attempt, completion, now))

    def _trace(self, attempt: _Attempt) -> None:
        """Begin the span of an attempt at a sampled message. Its context is no part of the signed content."""
        attempt.span = span = self._tracer.root()
        if span is not None and self._tracer.passes and attempt.request is not None:
            attempt.request = with_trace(attempt.request, span)

    def _traced(self, attempt: _Attempt, span: OpenSpan, result: AttemptResult | None) -> None:
        """End the span. It links to the acceptance, which may be hours ago."""
        accepted = attempt.queued.trace
        said: dict[str, str | int] = {
            "angarium.application": ids.text(ids.APPLICATION, attempt.target.app_id),
            "angarium.endpoint": ids.text(ids.ENDPOINT, attempt.target.endpoint_id),
            "messaging.message.id": ids.text(ids.MESSAGE, attempt.queued.message_id),
        }
        if attempt.queued.attempts:
            said["http.request.resend_count"] = attempt.queued.attempts
        if attempt.exchange is not None:
            origin = attempt.exchange.origin
            said |= {"http.request.method": "POST", "server.address": origin.host, "server.port": origin.port}
        if result is not None and result.status_code:
            said["http.response.status_code"] = result.status_code
        error = "payload_gone" if result is None else result.error_code
        links = () if accepted is None else (accepted,)
        self._tracer.ended(span, "attempt", SpanKind.CLIENT, said, links=links, error=error)

    def _tell(self, attempt: _Attempt, completion: Completion) -> None:
        """Log the attempt."""
        log = self._log
        if not log.is_enabled_for(logging.INFO):
            return
        answer = completion.answer
        traced = {} if attempt.span is None else {"trace_id": attempt.span.trace_id.hex()}
        log.info(
            "delivery.attempted",
            message=ids.text(ids.MESSAGE, completion.message_id),
            endpoint=ids.text(ids.ENDPOINT, attempt.active.endpoint_id),
            attempt=completion.number,
            manual=completion.manual_at is not None,
            move=completion.move.name.lower(),
            status=answer.status_code if answer else None,
            error=answer.error_code if answer else None,
            duration_ms=answer.duration_ms if answer else None,
            **traced,
        )


def _attempted(attempt: _Attempt, completion: Completion, now: float) -> Attempted:
    answer = completion.answer
    return Attempted(
        completion.app_id,
        attempt.target.product.name,
        completion.move,
        None if answer is None else answer.status_code,
        None if answer is None else answer.kind,
        completion.manual_at is not None,
        completion.number,
        ids.created_at(completion.message_id),
        attempt.queued.due_at,
        attempt.started,
        now,
        attempt.held,
        attempt.lateness,
    )


def _consequences(
    active: ActiveLane, target: EndpointTarget, transition: Transition, now: float
) -> tuple[HealthRecord | None, Disable | None, Alert | None]:
    """The changed health of the endpoint, whether to disable it, and whether to warn the operator."""
    if transition.effect is Effect.NONE:
        return None, None, None
    if transition.effect is Effect.RESET:
        return _noted(active, HEALTHY), None, None
    rule = target.product.disable
    noted = _noted(active, rule.failed(active.health, transition.move, now))
    reason = rule.reason(active.health, transition, now)
    named = target.org_id, active.app_id, active.endpoint_id
    if reason is not None:
        return noted, Disable(*named, reason, active.health.failing_since, target.generation), None
    failures = active.health.failures
    if failures not in rule.warnings:
        return noted, None, None
    facts = {"failures": failures, "fraction": rule.warnings[failures]}
    return noted, None, Alert(FAILING, *named, facts)


def _noted(active: ActiveLane, health: Health) -> HealthRecord | None:
    """Keep the health of the endpoint. Returns what to write, if it changed."""
    if health == active.health:
        return None
    active.health = health
    return HealthRecord(active.app_id, active.endpoint_id, health, active.generation)
