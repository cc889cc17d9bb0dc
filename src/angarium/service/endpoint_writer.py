"""Writes endpoints and records each change in the audit log, in one transaction.

Every change of an endpoint goes through this module, so that none is missing in the audit log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from angarium.clock import Clock, datetime_at
from angarium.core import ids
from angarium.core.audit import AuditEvent, difference, endpoint_view
from angarium.core.errors import NotFound
from angarium.core.keyring import Keyring
from angarium.core.nouns import Endpoint
from angarium.service import audit
from angarium.store import endpoint as store
from angarium.store.connection import Connection


class EndpointWriter:
    """Every method runs in the transaction of the given connection."""

    def __init__(self, clock: Clock, entropy: Callable[[int], bytes], keyring: Keyring) -> None:
        self._clock = clock
        self._entropy = entropy
        self._keyring = keyring

    async def find(self, connection: Connection, app_id: UUID, ref: str, *, lock: bool = False) -> Endpoint:
        """The endpoint with this id or uid, unless deleted; `lock` it for a change. Raises NotFound."""
        found = await store.find(connection, app_id, ref, self._keyring, lock=lock)
        if found is None:
            raise NotFound()
        return found

    async def create(self, connection: Connection, new: Endpoint) -> Endpoint:
        """Raises Conflict when the uid is taken."""
        made = await store.create(connection, new, self._keyring, self._entropy)
        await self.record(connection, made, "endpoint.created", after=endpoint_view(made))
        return made

    async def write(
        self, connection: Connection, found: Endpoint, changed: Endpoint, action: str
    ) -> Endpoint:
        """Store `changed` in place of `found`. An update without a difference is not recorded.

        Raises NotFound, or Conflict when the uid is taken.
        """
        changed = replace(changed, updated_at=datetime_at(self._clock.now()))
        stored = await store.update(connection, changed, self._keyring, self._entropy)
        if stored is None:
            raise NotFound()
        before, after = endpoint_view(found), endpoint_view(stored)
        if anew := [name for name, value in stored.headers.items() if found.headers.get(name) != value]:
            after["headersSet"] = sorted(anew)  # their values may be secrets
        if found.keys != stored.keys and before["secrets"] == after["secrets"]:
            after["secretInForce"] = after["secrets"][0]
        if (changes := difference(before, after)) is not None:
            if changes[1].keys() == {"disabled"}:
                action = "endpoint.disabled" if stored.disabled_at is not None else "endpoint.enabled"
            await self.record(connection, stored, action, *changes)
        return stored

    async def delete(self, connection: Connection, found: Endpoint) -> None:
        await store.delete(connection, found, datetime_at(self._clock.now()))
        await self.record(connection, found, "endpoint.deleted", before=endpoint_view(found))

    async def record(
        self,
        connection: Connection,
        endpoint: Endpoint,
        action: str,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> None:
        target = ids.text(ids.ENDPOINT, endpoint.id)
        audit_event = AuditEvent(endpoint.org_id, endpoint.app_id, action, target, before, after)
        await audit.record(connection, self._clock.now(), self._entropy, audit_event)
