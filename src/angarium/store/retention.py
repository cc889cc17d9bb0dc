"""Retention: what ends the rows of each table, and at what age.

Everything ends. `message`, `attempt` and `payload` end by dropping partitions (store/partition.py). The rows
of other tables are deleted by `QUEUE`, `LANES` and `RULES`, a slice at a time, in an order that leaves no
remains:

- What is queued of a message ends before the message does, as a cancellation in its history. No index finds
  the oldest in the queue, since each delivery would pay for it. So all lanes are walked, a bounded number
  at a time, and only when a day of history is about to be dropped.
- A deleted endpoint or application ends when no message names it any more.

Whoever runs a rule calls it until it gives less than a whole slice. Each slice is a statement of its own, so
nothing else waits for long.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from angarium.core import ids
from angarium.core.inbox import oldest_kept
from angarium.store import partition
from angarium.store.connection import Connection, Row
from angarium.store.sql import queries
from angarium.store.stretch import LOWEST

SLICE: Final = 2000  # rows that go in one statement
STRIDE: Final = 1000  # lanes that one statement looks at
LONGEST_FAULT: Final = timedelta(hours=1)  # that its process has not noted
LONGEST_TOKEN: Final = timedelta(days=3650)  # that a cutoff ends with all others


@dataclass(frozen=True, slots=True)
class Retention:
    """How long what is kept. Payloads have periods of their own, none longer than `history`."""

    history: timedelta = timedelta(days=90)  # messages, attempts, what belongs to them, what is deleted
    audit: timedelta = timedelta(days=365)  # its records, and revoked API keys, which they name
    statistics: timedelta = timedelta(days=90)
    tasks: timedelta = timedelta(days=30)  # background tasks that are over


@dataclass(frozen=True, slots=True)
class Rule:
    """One table's. `before` says up to which time or id its rows go."""

    table: str
    verb: Callable[..., Awaitable[int]]
    before: Callable[[Retention, datetime], datetime | UUID]

    async def end(
        self, connection: Connection, retention: Retention, now: datetime, limit: int = SLICE
    ) -> int:
        """Delete a slice; gives how many rows went."""
        return await self.verb(connection, before=self.before(retention, now), now=now, limit=limit)


@dataclass(frozen=True, slots=True)
class Position:
    """How far a walk over the lanes came: this one and those before it are done."""

    shard: int = -1
    endpoint_id: UUID = LOWEST


@dataclass(frozen=True, slots=True)
class LaneRule:
    """One table of the queue's, whose rows go with their messages."""

    table: str
    verb: Callable[..., Awaitable[Row]]

    async def end(
        self,
        connection: Connection,
        retention: Retention,
        now: datetime,
        after: Position,
        limit: int = SLICE,
        lanes: int = STRIDE,
    ) -> tuple[int, Position | None]:
        """Delete a slice from the next lanes; gives how many rows went, and where to go on."""
        row = await self.verb(
            connection,
            before=_oldest_message(retention, now),
            now=now,
            limit=limit,
            lanes=lanes,
            shard=after.shard,
            endpoint_id=after.endpoint_id,
        )
        if row["ended"] >= limit:
            return row["ended"], after  # these lanes may have more
        if row["endpoint_id"] is None:
            return row["ended"], None
        return row["ended"], Position(row["shard"], row["endpoint_id"])


def _now(_: Retention, now: datetime) -> datetime:
    return now


def _queued(retention: Retention, now: datetime) -> UUID:
    # up to a day before the message goes with its partition
    return ids.lowest((now - retention.history).timestamp())


def _oldest_message(retention: Retention, now: datetime) -> UUID:
    return ids.lowest(_oldest_day(retention, now).timestamp())


def _oldest_day(retention: Retention, now: datetime) -> datetime:
    return partition.oldest_day(now, retention.history)


def _oldest_record(retention: Retention, now: datetime) -> UUID:
    return ids.lowest((now - retention.audit).timestamp())


def _oldest_revoked(retention: Retention, now: datetime) -> datetime:
    return now - retention.audit


def _oldest_token(_: Retention, now: datetime) -> datetime:
    return now - LONGEST_TOKEN


async def _end_applications(connection: Connection, *, before: datetime, limit: int, **_: object) -> int:
    """Deleted applications, at last. They go after what the control schema has of them, so that a stop in
    between leaves something to find the rest by."""
    old = [row async for row in queries.application_ended(connection, before=before, limit=limit)]
    app_ids = [row["id"] for row in old]
    if old:
        await queries.end_application_control(
            connection, org_ids=[row["org_id"] for row in old], app_ids=app_ids
        )
    ended: int = await queries.end_application(connection, app_ids=app_ids)
    return ended


QUEUE: Final = (Rule("fan_out", queries.end_fan_out, _queued),)
"""Before the lanes are walked."""

LANES: Final = (LaneRule("pending", queries.end_pending), LaneRule("retry", queries.end_retry))
"""Before a day of history is dropped."""

RULES: Final = (
    Rule("event_id", queries.end_event_id, _oldest_message),
    Rule("idempotency", queries.end_idempotency, _now),
    Rule("control.idempotency", queries.end_idempotency_control, _now),
    Rule("attempt_hour", queries.end_attempt_hour, lambda kept, now: now - kept.statistics),
    Rule("background_task", queries.end_background_task, lambda kept, now: now - kept.tasks),
    Rule("audit", queries.end_audit, _oldest_record),
    Rule("control.audit", queries.end_audit_control, _oldest_record),
    Rule("revoked_token", queries.end_revoked_token, _now),
    Rule("organization_token", queries.end_organization_token, _now),
    Rule("token_cutoff", queries.end_token_cutoff, _oldest_token),
    # a revoked key refuses the links that were made with it, which live no longer than `audit`
    Rule("api_key", queries.end_api_key, _oldest_revoked),
    Rule("play_inbox", queries.end_play_inbox, _now),
    Rule("play_request", queries.end_play_request, lambda _, now: oldest_kept(now.timestamp())),
    # with the lanes that it held
    Rule("fault", queries.end_fault, lambda _, now: now - LONGEST_FAULT),
    # what was in flight to one was recorded soon after it was replaced
    Rule("former_url", queries.end_former_url, lambda kept, now: _oldest_day(kept, now) - timedelta(days=1)),
    Rule("endpoint", queries.end_endpoint, _oldest_day),
    Rule("application", _end_applications, _oldest_day),
)
"""After the history is dropped."""
