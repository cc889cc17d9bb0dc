"""Disables an endpoint automatically: it fails, it is gone, or its listener has stopped.

No other code does this. A customer disables an endpoint by editing it (service/endpoint.py).

The same transaction cancels the endpoint's deliveries and writes the audit event. Manual attempts wait until
the endpoint is enabled.
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
from angarium.store.connection import Connection
from angarium.store.hint import changed, send
from angarium.store.sql import queries

log = structlog.get_logger(__name__)


class Disable(msgspec.Struct, frozen=True, gc=False):
    """An order to disable an endpoint."""

    org_id: str
    app_id: UUID
    endpoint_id: UUID
    reason: DisabledReason
    failing_since: float | None = None
    generation: int | None = None  # of the endpoint to which the attempts were made; None: any


async def disable(connection: Connection, one: Disable, now: float, noise: bytes) -> bool:
    """Disable an endpoint, in a transaction. Returns False if it was already disabled or has another
    generation. `noise`: eight random bytes, for new ids."""
    if not await mark(connection, one, now):
        return False
    await carry_out(connection, one, now, noise)
    return True


async def mark(connection: Connection, one: Disable, now: float) -> bool:
    """The first half of `disable`. A transaction that completes deliveries does so between the two halves, so
    that the endpoint is locked before they are. An endpoint of another generation is not changed."""
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
    await background_task.cancel_queued(connection, ids.new(now, noise), *named, now, wait=True)
    await send(connection, [changed(one.endpoint_id)])
    target = ids.text(ids.ENDPOINT, one.endpoint_id)
    after = {"disabled": True, "reason": one.reason.value}
    audit_event = AuditEvent(one.org_id, one.app_id, "endpoint.disabled", target, {"disabled": False}, after)
    await audit.record(connection, ids.new(now, noise), SYSTEM, audit_event)
    log.info("endpoint.disabled", endpoint=target, reason=one.reason)
