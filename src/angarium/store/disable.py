"""Disable: what we do ourselves to an endpoint that fails, is gone, or is not listened to any more.

This is the one place that does it. Its owner disables an endpoint by an edit (service/endpoint.py).

A disabled endpoint gets nothing from the same transaction on: what it is owed is canceled, manual attempts
wait until it is enabled, and the audit log tells of it.
"""

from __future__ import annotations

from uuid import UUID

import msgspec
import structlog

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.audit import SYSTEM, AuditEvent
from angarium.core.nouns import DisabledReason
from angarium.store import audit, background_task
from angarium.store.complete import hint
from angarium.store.connection import Connection
from angarium.store.hint import changed
from angarium.store.sql import queries

log = structlog.get_logger(__name__)


class Disable(msgspec.Struct, frozen=True, gc=False):
    """This endpoint gets nothing more."""

    org_id: str
    app_id: UUID
    endpoint_id: UUID
    reason: DisabledReason
    failing_since: float | None = None
    generation: int | None = None  # of the endpoint that the attempts were made to; None: whichever


async def disable(connection: Connection, one: Disable, now: float, noise: bytes) -> bool:
    """In a transaction. Whether it was this call that did it. `noise`: eight random bytes, for new ids."""
    if not await mark(connection, one, now):
        return False
    await carry_out(connection, one, now, noise)
    return True


async def mark(connection: Connection, one: Disable, now: float) -> bool:
    """The first half of `disable`, for a transaction that completes deliveries in between, for it locks the
    endpoint before them. An endpoint of another generation by now is left alone."""
    marked: bool = await queries.disable_endpoint(
        connection,
        app_id=one.app_id,
        endpoint_id=one.endpoint_id,
        reason=one.reason,
        now=datetime_at(now),
        generation=one.generation,
    )
    return marked


async def carry_out(connection: Connection, one: Disable, now: float, noise: bytes) -> None:
    """The second half, for an endpoint that was marked in this transaction."""
    named = one.org_id, one.app_id, one.endpoint_id
    await background_task.cancel_owed(connection, ids.new(now, noise), *named, now, wait=True)
    await hint(connection, [changed(one.endpoint_id)])
    target = ids.text(ids.ENDPOINT, one.endpoint_id)
    after = {"disabled": True, "reason": one.reason.value}
    audit_event = AuditEvent(one.org_id, one.app_id, "endpoint.disabled", target, {"disabled": False}, after)
    await audit.record(connection, ids.new(now, noise), SYSTEM, audit_event)
    log.info("endpoint.disabled", endpoint=target, reason=one.reason)
