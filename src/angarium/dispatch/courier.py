"""The two sides of an attempt: build and sign what is sent; judge what came back, and say what follows."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import msgspec

from angarium.clock import Clock
from angarium.core import ids
from angarium.core.lane import Held
from angarium.core.lifecycle import CANCELED, Next, advance
from angarium.core.outcome import GONE_KEPT, Answer, Judgement, Verdict, judge
from angarium.dispatch.sender import Request
from angarium.dispatch.target import Target
from angarium.store.settle import Settlement

NOTHING_TO_SEND = Judgement(Verdict.REFUSED, overload=False, pause=None)


class Result(msgspec.Struct, frozen=True, gc=False):
    """What one attempt came to."""

    settlement: Settlement
    judgement: Judgement
    ended_at: float  # epoch seconds


class Courier:
    """Knows the rules of attempts; remembers nothing and sends nothing."""

    def __init__(
        self,
        clock: Clock,
        entropy: Callable[[int], bytes],
        chance: random.Random,
    ) -> None:
        self._clock = clock
        self._entropy = entropy
        self._chance = chance

    def request(self, target: Target, held: Held, now: float) -> Request | None:
        """What to send at `now` for the delivery; None: its payload is gone."""
        if held.payload is None:
            return None
        headers = target.headers_for(held.message_id, held.event_type, held.payload, now, held.content_type)
        return Request(target.url, headers, held.payload, target.product.timeout)

    def result(
        self, target: Target, held: Held, started: float, request: Request | None, answer: Answer | None
    ) -> Result:
        """What the attempt came to. A payload that is gone cancels the delivery."""
        if request is None or answer is None:
            return self._result(target, held, started, None, NOTHING_TO_SEND, CANCELED, ())
        judgement = judge(answer)
        if judgement.verdict is Verdict.GONE:
            on_gone = target.product.disable.on_gone
            if answer.status_code == 410 and (held.manual_at is not None or held.test or not on_gone):
                answer = msgspec.structs.replace(answer, error=GONE_KEPT)
            if not on_gone:  # to this product 410 is a failure like others
                judgement = msgspec.structs.replace(judgement, verdict=Verdict.RETRY)
        following = advance(
            state=held.state,
            manual=held.manual_at is not None,
            test=held.test,
            failures=held.failures,
            judgement=judgement,
            schedule=target.product.schedule,
            now=self._clock.now(),
            chance=self._chance.random(),
        )
        sent = target.shown(request.headers)
        return self._result(target, held, started, answer, judgement, following, sent)

    def _result(
        self,
        target: Target,
        held: Held,
        started: float,
        answer: Answer | None,
        judgement: Judgement,
        following: Next,
        sent: Sequence[tuple[str, str]],
    ) -> Result:
        return Result(
            Settlement(
                attempt_id=ids.new(started, self._entropy(8)),
                app_id=target.app_id,
                endpoint_id=target.endpoint_id,
                message_id=held.message_id,
                move=following.move,
                failures=held.failures,
                number=0 if answer is None else held.attempts + 1,
                due_at=following.due,
                manual_at=held.manual_at,
                answer=answer,
                succeeded=judgement.verdict is Verdict.DELIVERED,
                url=target.shown_url,
                sent=sent,
            ),
            judgement,
            self._clock.now(),
        )
