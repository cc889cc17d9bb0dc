"""Builds and signs the request of an attempt, and decides what follows from its result."""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec

from angarium.core import ids
from angarium.core.lane_queue import QueuedDelivery
from angarium.core.lifecycle import CANCELED, Effect, Transition, advance
from angarium.core.outcome import GONE_KEPT, AttemptResult
from angarium.core.trace import HEADER, OpenSpan
from angarium.dispatch.target import EndpointTarget
from angarium.dispatch.transport.sender import OutgoingRequest
from angarium.store.complete import Completion


class RequestBuilder:
    """The rules of one attempt. Keeps no state and sends nothing."""

    def __init__(self, entropy: Callable[[int], bytes], chance: random.Random) -> None:
        self._entropy = entropy
        self._chance = chance

    def request(self, target: EndpointTarget, queued: QueuedDelivery, now: float) -> OutgoingRequest | None:
        """The request for a delivery at `now`; None if its payload is gone or expired."""
        if queued.payload is None or queued.expires_at <= now:
            return None
        headers = target.headers_for(
            queued.message_id, queued.event_type, queued.payload, now, queued.content_type
        )
        return OutgoingRequest(target.url, headers, queued.payload, target.product.timeout)

    def transition(
        self, target: EndpointTarget, queued: QueuedDelivery, result: AttemptResult | None, now: float
    ) -> Transition:
        """What follows from an attempt that ended `now`. No result: the payload was gone."""
        if result is None:
            return CANCELED
        return advance(
            result,
            state=queued.state,
            manual=queued.manual_at is not None,
            test=queued.test,
            failures=queued.failures,
            on_gone=target.product.disable.on_gone,
            schedule=target.product.schedule,
            now=now,
            chance=self._chance.random(),
        )

    def completion(
        self,
        target: EndpointTarget,
        queued: QueuedDelivery,
        started: float,
        request: OutgoingRequest | None,
        result: AttemptResult | None,
        transition: Transition,
    ) -> Completion:
        """What to record of the attempt."""
        if result is not None and result.status_code == 410 and transition.effect is not Effect.GONE:
            result = msgspec.structs.replace(result, error=GONE_KEPT)
        return Completion(
            attempt_id=ids.new(started, self._entropy(8)),
            app_id=target.app_id,
            endpoint_id=target.endpoint_id,
            message_id=queued.message_id,
            move=transition.move,
            failures=queued.failures,
            number=0 if result is None else queued.attempts + 1,
            due_at=transition.due,
            manual_at=queued.manual_at,
            answer=result,
            succeeded=result is not None and result.delivered,
            revision=target.revision,
            sent=() if request is None else target.shown(request.headers),
            pending=queued.pending,
        )


def with_trace(request: OutgoingRequest, span: OpenSpan) -> OutgoingRequest:
    """The request with the context of its span, unless the endpoint or the profile has such a header."""
    if any(name.lower() == HEADER for name, _ in request.headers):
        return request
    return msgspec.structs.replace(request, headers=[*request.headers, (HEADER, span.traceparent)])
