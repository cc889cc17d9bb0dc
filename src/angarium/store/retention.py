"""Defines when the rows of each table are deleted, and deletes them.

`message`, `attempt` and `payload` are deleted by dropping partitions (store/partition.py). The rows of all
other tables are deleted by `QUEUE`, `LANES` and `RULES`, in slices, in an order that leaves nothing behind:

- Queued deliveries of a message are canceled before the message is deleted. No index finds the oldest ones in
  the queue, because it would make every delivery more expensive. So all lanes are read, a bounded number at a
  time, and only when a day of history is about to be dropped.
- A deleted endpoint or application is deleted when no message refers to it any more.

The caller repeats a rule until it deletes less than a whole slice. Each slice is one statement, so no other
statement waits for long.
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

SLICE: Final = 2000  # rows that one statement deletes
STRIDE: Final = 1000  # lanes that one statement reads
LONGEST_FAULT: Final = timedelta(hours=1)  # since its process last wrote it
LONGEST_NOTICE: Final = timedelta(days=7)  # that cannot be sent: its channel was removed
LONGEST_DIGEST: Final = timedelta(days=2)  # longer than the windows in core/alert.py
LONGEST_MAIL: Final = timedelta(days=2)  # longer than confirmations are counted and mails are tried
LONGEST_TOKEN: Final = timedelta(days=3650)  # lifetime of a token; older cutoffs concern no token


@dataclass(frozen=True, slots=True)
class Retention:
    """How long data is kept. Payloads have periods of their own, none longer than `history`."""

    history: timedelta = timedelta(days=90)  # messages, attempts, and deleted endpoints and applications
    audit: timedelta = timedelta(days=365)  # audit log records, and revoked API keys, which they name
    statistics: timedelta = timedelta(days=90)
    tasks: timedelta = timedelta(days=30)  # background tasks that have ended
    usage: timedelta = timedelta(days=3650)  # what applications used in each month


@dataclass(frozen=True, slots=True)
class Rule:
    """Deletes expired rows of one table. `before` computes the time or id up to which rows are deleted."""

    table: str
    verb: Callable[..., Awaitable[int]]
    before: Callable[[Retention, datetime], datetime | UUID]

    async def end(
        self, connection: Connection, retention: Retention, now: datetime, limit: int = SLICE
    ) -> int:
        """Delete a slice. Returns how many rows were deleted."""
        return await self.verb(connection, before=self.before(retention, now), now=now, limit=limit)


@dataclass(frozen=True, slots=True)
class Position:
    """The progress of a walk over the lanes: this one and those before it are done."""

    shard: int = -1
    endpoint_id: UUID = LOWEST


@dataclass(frozen=True, slots=True)
class LaneRule:
    """Cancels the deliveries in one table of the queue whose messages expire."""

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
        """Cancel a slice from the next lanes. Returns how many, and where to continue."""
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
            return row["ended"], after  # the same lanes may have more
        if row["endpoint_id"] is None:
            return row["ended"], None
        return row["ended"], Position(row["shard"], row["endpoint_id"])


def _now(_: Retention, now: datetime) -> datetime:
    return now


def _queued(retention: Retention, now: datetime) -> UUID:
    # up to a day before the partition of the message is dropped
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
    """Delete the rows of deleted applications. The rows in the control schema are deleted first, so that an
    interrupted deletion is found and continued."""
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
    Rule("usage", queries.end_usage, lambda kept, now: now - kept.usage),
    Rule("background_task", queries.end_background_task, lambda kept, now: now - kept.tasks),
    Rule("audit", queries.end_audit, _oldest_record),
    Rule("control.audit", queries.end_audit_control, _oldest_record),
    Rule("revoked_token", queries.end_revoked_token, _now),
    Rule("organization_token", queries.end_organization_token, _now),
    Rule("token_cutoff", queries.end_token_cutoff, _oldest_token),
    # links that were created with a revoked key are refused while the key exists; they expire before it
    Rule("api_key", queries.end_api_key, _oldest_revoked),
    Rule("play_inbox", queries.end_play_inbox, _now),
    Rule("play_request", queries.end_play_request, lambda _, now: oldest_kept(now.timestamp())),
    # with the lanes that waited for it
    Rule("fault", queries.end_fault, lambda _, now: now - LONGEST_FAULT),
    Rule("notice", queries.end_notice, lambda _, now: now - LONGEST_NOTICE),
    Rule("digest", queries.end_digest, lambda _, now: now - LONGEST_DIGEST),
    Rule("mail", queries.end_mail, lambda _, now: now - LONGEST_MAIL),
    # attempts that were in flight when the URL was replaced were recorded soon after
    Rule("former_url", queries.end_former_url, lambda kept, now: _oldest_day(kept, now) - timedelta(days=1)),
    Rule("endpoint", queries.end_endpoint, _oldest_day),
    Rule("application", _end_applications, _oldest_day),
)
"""After the history is dropped."""
