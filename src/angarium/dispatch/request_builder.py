"""Builds and signs the request of an attempt, and works out what follows from its result."""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec

from angarium.core import ids
from angarium.core.hand import Held
from angarium.core.lifecycle import CANCELED, Effect, Transition, advance
from angarium.core.outcome import GONE_KEPT, AttemptResult
from angarium.dispatch.sender import Request
from angarium.dispatch.target import Target
from angarium.store.settle import Settlement


class RequestBuilder:
    """The rules of one attempt. It keeps no state and sends nothing."""

    def __init__(self, entropy: Callable[[int], bytes], chance: random.Random) -> None:
        self._entropy = entropy
        self._chance = chance

    def request(self, target: Target, held: Held, now: float) -> Request | None:
        """What to send at `now` for the delivery; None: its payload is gone or has expired."""
        if held.payload is None or held.expires_at <= now:
            return None
        headers = target.headers_for(held.message_id, held.event_type, held.payload, now, held.content_type)
        return Request(target.url, headers, held.payload, target.product.timeout)

    def transition(self, target: Target, held: Held, result: AttemptResult | None, now: float) -> Transition:
        """What follows from an attempt that ended `now`. Without a result the payload was gone."""
        if result is None:
            return CANCELED
        return advance(
            result,
            state=held.state,
            manual=held.manual_at is not None,
            test=held.test,
            failures=held.failures,
            on_gone=target.product.disable.on_gone,
            schedule=target.product.schedule,
            now=now,
            chance=self._chance.random(),
        )

    def settlement(
        self,
        target: Target,
        held: Held,
        started: float,
        request: Request | None,
        result: AttemptResult | None,
        transition: Transition,
    ) -> Settlement:
        """What is recorded of the attempt."""
        if result is not None and result.status_code == 410 and transition.effect is not Effect.GONE:
            result = msgspec.structs.replace(result, error=GONE_KEPT)
        return Settlement(
            attempt_id=ids.new(started, self._entropy(8)),
            app_id=target.app_id,
            endpoint_id=target.endpoint_id,
            message_id=held.message_id,
            move=transition.move,
            failures=held.failures,
            number=0 if result is None else held.attempts + 1,
            due_at=transition.due,
            manual_at=held.manual_at,
            answer=result,
            succeeded=result is not None and result.delivered,
            revision=target.revision,
            sent=() if request is None else target.shown(request.headers),
            pending=held.pending,
        )
