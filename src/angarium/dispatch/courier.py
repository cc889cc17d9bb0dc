"""The courier makes one attempt: build, sign, send, judge, and say what follows."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from angarium.clock import Clock
from angarium.core import ids
from angarium.core.lane import Held
from angarium.core.lifecycle import CANCELED, Next, advance
from angarium.core.outcome import Answer, Judgement, Verdict, judge
from angarium.dispatch.sender import Request, Sender
from angarium.dispatch.target import Target
from angarium.store.settle import Settlement

NOTHING_TO_SEND = Judgement(Verdict.REFUSED, overload=False, pause=None)


@dataclass(frozen=True, slots=True)
class Result:
    """What one attempt came to."""

    settlement: Settlement
    judgement: Judgement
    ended_at: float  # epoch seconds


class Courier:
    """Makes attempts; remembers nothing."""

    def __init__(
        self,
        sender: Sender,
        clock: Clock,
        entropy: Callable[[int], bytes],
        chance: random.Random,
    ) -> None:
        self._sender = sender
        self._clock = clock
        self._entropy = entropy
        self._chance = chance

    async def attempt(self, target: Target, held: Held) -> Result:
        """One attempt of one delivery. A payload that is gone cancels the delivery."""
        started = self._clock.now()
        if held.payload is None:
            return self._result(target, held, started, None, NOTHING_TO_SEND, CANCELED, ())
        headers = target.headers_for(held.message_id, held.event_type, held.payload, started)
        answer = await self._sender.send(
            Request(
                url=target.url,
                headers=headers,
                body=held.payload,
                timeout=target.product.timeout,
            )
        )
        judgement = judge(answer)
        if judgement.verdict is Verdict.GONE and not target.product.disable.on_gone:
            judgement = replace(
                judgement, verdict=Verdict.RETRY
            )  # to this product 410 is a failure like others
        following = advance(
            state=held.state,
            manual=held.manual_at is not None,
            failures=held.failures,
            judgement=judgement,
            schedule=target.product.schedule,
            now=self._clock.now(),
            chance=self._chance.random(),
        )
        sent = target.shown(headers)
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
