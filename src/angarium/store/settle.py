"""Settle: attempts recorded, deliveries moved and health noted, in one statement for many outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from angarium.clock import datetime_at
from angarium.core.lifecycle import Move
from angarium.core.nouns import DisabledReason
from angarium.core.outcome import Answer
from angarium.store.sql import queries, sparse

_exchange = msgspec.json.Encoder().encode
_MOVES = {move: move.name.lower() for move in Move}


class Settlement(msgspec.Struct, frozen=True, gc=False):
    """The outcome of one attempt. `failures` and `manual_at` are what the delivery was loaded with;
    `answer` is None when no attempt could be made (the payload is gone)."""

    attempt_id: UUID
    app_id: UUID
    endpoint_id: UUID
    message_id: UUID
    move: Move
    failures: int
    number: int  # of this attempt, from 1; 0 when none was made
    due_at: float | None
    manual_at: datetime | None
    answer: Answer | None
    succeeded: bool
    url: str
    sent: Sequence[tuple[str, str]] = ()  # the headers, with what may be a credential masked


class Health(msgspec.Struct, frozen=True, gc=False):
    """Since when every attempt of an endpoint has failed (None: the last succeeded), and how many."""

    app_id: UUID
    endpoint_id: UUID
    failing_since: float | None
    failures: int


class Settled(msgspec.Struct, frozen=True, gc=False):
    """Where a delivery stands now; `due_at` None: nothing more is owed."""

    endpoint_id: UUID
    message_id: UUID
    due_at: float | None


async def settle(
    connection: Any, settlements: Sequence[Settlement], health: Sequence[Health]
) -> list[Settled]:
    """Record and move a batch. No two settlements may be of the same delivery."""
    answers = [settlement.answer for settlement in settlements]
    rows = queries.settle(
        connection,
        ids=[s.attempt_id for s in settlements],
        app_ids=[s.app_id for s in settlements],
        endpoint_ids=[s.endpoint_id for s in settlements],
        message_ids=[s.message_id for s in settlements],
        moves=[_MOVES[s.move] for s in settlements],
        failures=[s.failures for s in settlements],
        numbers=[s.number for s in settlements],
        due=sparse([None if s.due_at is None else datetime_at(s.due_at) for s in settlements]),
        manual_at=sparse([s.manual_at for s in settlements]),
        statuses=[None if s.answer is None else (0 if s.succeeded else 2) for s in settlements],
        status_codes=[a.status_code if a else 0 for a in answers],
        error_codes=sparse([a.error_code if a else None for a in answers]),
        errors=sparse([a.error if a else None for a in answers]),
        responses=sparse([a.response if a else None for a in answers]),
        durations=[a.duration_ms if a else 0 for a in answers],
        urls=[s.url for s in settlements],
        exchanges=[None if s.answer is None else _exchange((s.sent, s.answer.headers)) for s in settlements],
        sick_apps=[h.app_id for h in health],
        sick_endpoints=[h.endpoint_id for h in health],
        failing_since=[None if h.failing_since is None else datetime_at(h.failing_since) for h in health],
        sick_failures=[h.failures for h in health],
    )
    return [
        Settled(endpoint_id, message_id, due_at.timestamp() if due_at else None)
        async for endpoint_id, message_id, _, due_at in rows
    ]


async def disable_endpoint(
    connection: Any, app_id: UUID, endpoint_id: UUID, reason: DisabledReason, now: datetime
) -> bool:
    """Disable an endpoint that fails or is gone; whether it was this call that did it."""
    changed: bool = await queries.disable_endpoint(
        connection, app_id=app_id, endpoint_id=endpoint_id, reason=reason, now=now
    )
    return changed


async def hint(connection: Any, hints: Sequence[str], *, alone: bool = False) -> None:
    """Send hints to the dispatchers (see store/hint.py); `alone` outside any other transaction."""
    await (queries.hint_alone if alone else queries.hint)(connection, hints=hints)
