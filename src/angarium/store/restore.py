"""Reads and changes a restored database: counts, proven deliveries, audit records."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.store import release
from angarium.store.audit import CONTROL, Record, record_of
from angarium.store.connection import Connection, Row
from angarium.store.shard import shard_of
from angarium.store.sql import queries

PAGE: Final = 1000
_DIGEST_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class PendingCount:
    """What is pending for an application: deliveries in all, those due now, and those of them due since the
    time to which the database was restored."""

    app_id: UUID
    org_id: str
    uid: str | None
    name: str
    pending: int
    due: int
    since: int


class Proof(msgspec.Struct, frozen=True, gc=False):
    """An attempt that delivered, as a line of the log proves. `at` in epoch seconds."""

    endpoint_id: UUID
    message_id: UUID
    number: int
    at: float
    status_code: int
    duration_ms: int
    manual: bool


async def sessions(connection: Connection) -> Counter[str]:
    """The other sessions of Angarium on this database, by their names."""
    names = [row["application_name"] async for row in queries.release_sessions(connection)]
    return Counter(name for name in names if release.of_session(name) is not None)


async def has_messages_after(connection: Connection, at: float) -> bool:
    """Whether a message was accepted after a time, in epoch seconds."""
    return bool(await queries.restore_newest(connection, after=ids.highest(at)))


async def pending(connection: Connection, at: datetime, now: float) -> list[PendingCount]:
    """What is pending for each application, those with the most due deliveries first."""
    rows = queries.restore_counts(connection, at=at, now=datetime_at(now))
    return [
        PendingCount(
            row["id"], row["org_id"], row["uid"], row["name"], row["pending"], row["due"], row["since"]
        )
        async for row in rows
    ]


async def deliver(connection: Connection, proofs: Sequence[Proof]) -> int:
    """Record deliveries that are pending and proven. Each may occur only once. Returns how many were."""
    count: int = await queries.restore_deliver(
        connection,
        endpoint_ids=[one.endpoint_id for one in proofs],
        message_ids=[one.message_id for one in proofs],
        shards=[shard_of(one.endpoint_id) for one in proofs],
        numbers=[one.number for one in proofs],
        at=[datetime_at(one.at) for one in proofs],
        status_codes=[one.status_code for one in proofs],
        durations=[one.duration_ms for one in proofs],
        manual=[one.manual for one in proofs],
    )
    return count


async def has_record(connection: Connection, record: Record) -> bool:
    """Whether the audit log has a record."""
    noun = record.audit_event.action.partition(".")[0]
    exists = queries.restore_audit_exists_control if noun in CONTROL else queries.restore_audit_exists
    return bool(await exists(connection, org_id=record.audit_event.org_id, id=record.id))


async def records(connection: Connection, after: UUID) -> AsyncIterator[Record]:
    """The audit events of all organizations after an id, in the order of their ids."""
    section, control = (
        _rows(connection, verb, after) for verb in (queries.audit_export, queries.audit_export_control)
    )
    one, other = await anext(section, None), await anext(control, None)
    while one is not None or other is not None:
        if other is None or (one is not None and one["id"] < other["id"]):
            assert one is not None
            yield record_of(one)
            one = await anext(section, None)
        else:
            yield record_of(other)
            other = await anext(control, None)


async def _rows(connection: Connection, verb: object, after: UUID) -> AsyncIterator[Row]:
    while True:
        page = [row async for row in verb(connection, after=after, limit=PAGE)]  # type: ignore[operator]
        for row in page:
            yield row
        if len(page) < PAGE:
            return
        after = page[-1]["id"]


async def revoked(connection: Connection, start: str) -> tuple[bytes, datetime] | None:
    """The digest and expiry of the revoked token whose digest starts with these hexadecimal digits, if it is
    the only one."""
    low = bytes.fromhex(start)
    high = low + b"\xff" * (_DIGEST_BYTES - len(low))
    rows = [row async for row in queries.revoked_token_named(connection, low=low, high=high)]
    return (rows[0]["digest"], rows[0]["expires_at"]) if len(rows) == 1 else None
