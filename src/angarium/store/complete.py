"""Records attempts, moves deliveries and updates health, in one statement for many outcomes.

A delivery that changed during its attempt (resent, canceled, or recorded by a commit that was not confirmed)
needs more statements. These are rare. Outcomes are independent of each other, so they need no transaction.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec

from angarium.clock import datetime_at
from angarium.core import header_code, ids
from angarium.core.health import Health
from angarium.core.lifecycle import Move
from angarium.core.outcome import AttemptResult
from angarium.core.quota import month_of
from angarium.store import partition
from angarium.store.connection import Connection, Row
from angarium.store.shard import shard_of
from angarium.store.sql import queries, sparse

T = TypeVar("T")
NO_MONTH: Final = datetime(2000, 1, 1, tzinfo=UTC)  # of a batch without attempts
_MOVES = {move: move.name.lower() for move in Move}


class Completion(msgspec.Struct, frozen=True, gc=False):
    """The outcome of one attempt. `failures` and `manual_at` are those with which the delivery was loaded.
    `answer` is None if no attempt could be made, because the payload was deleted."""

    attempt_id: UUID
    app_id: UUID
    endpoint_id: UUID
    message_id: UUID
    move: Move
    failures: int
    number: int  # of this attempt, from 1; 0 if none was made
    due_at: float | None
    manual_at: datetime | None
    answer: AttemptResult | None
    succeeded: bool
    revision: int  # of the endpoint's configuration that the attempt used; identifies the URL
    sent: Sequence[tuple[str, str]] = ()  # the headers; values that may be credentials are masked
    pending: bool = False  # loaded from `pending`: never attempted before


class HealthRecord(msgspec.Struct, frozen=True, gc=False):
    """The health of an endpoint, and the generation of the endpoint that it belongs to."""

    app_id: UUID
    endpoint_id: UUID
    health: Health
    generation: int = 0


_Key = tuple[UUID, UUID]


class Completed(msgspec.Struct, frozen=True, gc=False):
    """When a delivery is due next; None: it has ended."""

    endpoint_id: UUID
    message_id: UUID
    due_at: float | None


async def complete(
    connection: Connection, completions: Sequence[Completion], health: Sequence[HealthRecord]
) -> list[Completed]:
    """Record a batch and move its deliveries. Returns one result each. A delivery may occur only once."""
    placed = await _place(connection, completions, health)
    if len(placed) < len(completions):
        placed |= await _place_elsewhere(connection, completions, placed)
    return [_completed((s.endpoint_id, s.message_id), placed) for s in completions]


def _completed(key: _Key, placed: Mapping[_Key, datetime | None]) -> Completed:
    due_at = placed.get(key)
    return Completed(*key, None if due_at is None else due_at.timestamp())


async def _place_elsewhere(
    connection: Connection, completions: Sequence[Completion], placed: Mapping[_Key, datetime | None]
) -> dict[_Key, datetime | None]:
    rest = [
        msgspec.structs.replace(s, pending=not s.pending)
        for s in completions
        if (s.endpoint_id, s.message_id) not in placed
    ]
    found = await _place(connection, rest, [])
    gone = [s for s in rest if (s.endpoint_id, s.message_id) not in found]
    if gone:
        columns = _columns(gone)
        for queue_only in ("shards", "pending", "moves", "due"):
            del columns[queue_only]
        columns["first"], columns["last"] = min(columns["message_ids"]), max(columns["message_ids"])
        await _in_history(connection, gone, queries.complete_late, columns)
    return found


async def _place(
    connection: Connection, completions: Sequence[Completion], health: Sequence[HealthRecord]
) -> dict[_Key, datetime | None]:
    columns = _columns(completions) | {
        "sick_apps": [one.app_id for one in health],
        "sick_endpoints": [one.endpoint_id for one in health],
        "generations": [one.generation for one in health],
        "failing_since": _times(one.health.failing_since for one in health),
        "sick_failures": [one.health.failures for one in health],
        "run_since": _times(one.health.run_since for one in health),
        "run_until": _times(one.health.run_until for one in health),
        "clock_since": _times(one.health.clock_since for one in health),
    }
    rows = await _in_history(connection, completions, _complete, columns)
    return {(endpoint_id, message_id): due_at for endpoint_id, message_id, due_at in rows}


async def _complete(connection: Connection, **columns: Any) -> list[Row]:
    return [row async for row in queries.complete(connection, **columns)]


async def _in_history(
    connection: Connection,
    completions: Sequence[Completion],
    verb: Callable[..., Awaitable[T]],
    columns: dict[str, Any],
) -> T:
    """Run a function that writes attempts. The partition of an expired message may have been dropped."""
    return await partition.covered(
        connection,
        lambda: verb(connection, **columns),
        lambda: partition.cover(connection, (s.message_id for s in completions)),
    )


def _columns(completions: Sequence[Completion]) -> dict[str, Any]:
    answers = [completion.answer for completion in completions]
    return {
        "month": _month(completions[-1].attempt_id) if completions else NO_MONTH,
        "ids": [s.attempt_id for s in completions],
        "app_ids": [s.app_id for s in completions],
        "endpoint_ids": [s.endpoint_id for s in completions],
        "message_ids": [s.message_id for s in completions],
        "shards": [shard_of(s.endpoint_id) for s in completions],
        "pending": [s.pending for s in completions],
        "moves": [_MOVES[s.move] for s in completions],
        "failures": [s.failures for s in completions],
        "numbers": [s.number for s in completions],
        "due": sparse([None if s.due_at is None else datetime_at(s.due_at) for s in completions]),
        "manual_at": sparse([s.manual_at for s in completions]),
        "statuses": [None if s.answer is None else (0 if s.succeeded else 2) for s in completions],
        "status_codes": [a.status_code if a else None for a in answers],
        "error_codes": sparse([a.error_code if a else None for a in answers]),
        "errors": sparse([a.error if a else None for a in answers]),
        "responses": sparse([a.response if a else None for a in answers]),
        "durations": [a.duration_ms if a else None for a in answers],
        "revisions": [s.revision for s in completions],
        "exchanges": [
            None
            if s.answer is None
            else header_code.encode(
                s.sent, s.answer.headers, message_id=s.message_id, attempt_id=s.attempt_id
            )
            for s in completions
        ],
    }


def _month(last: UUID) -> datetime:
    """The month for which a batch counts: that in which its last attempt began."""
    return month_of(datetime_at(ids.created_at(last)))


def _times(values: Iterable[float | None]) -> list[datetime | None]:
    return sparse([None if value is None else datetime_at(value) for value in values])
