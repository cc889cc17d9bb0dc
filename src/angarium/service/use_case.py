"""Defines what use cases share: a database, a clock, randomness, and records of changes in the audit log."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from angarium.clock import Clock, datetime_at
from angarium.core import ids
from angarium.core.audit import AuditEvent
from angarium.core.errors import NotFound
from angarium.service import audit
from angarium.store import audit as store
from angarium.store.connection import Connection
from angarium.store.database import Database

_Found = TypeVar("_Found")


class Subject(NamedTuple):
    """What a change is about, in the audit log. `org_id` None: the organization of the application."""

    org_id: str | None
    app_id: UUID | None = None
    target: str | None = None


class UseCase:
    """A use case over one database."""

    def __init__(
        self, database: Database, clock: Clock, entropy: Callable[[int], bytes] = os.urandom
    ) -> None:
        self._database = database
        self._clock = clock
        self._entropy = entropy

    def _now(self) -> datetime:
        return datetime_at(self._clock.now())

    def _new_id(self) -> UUID:
        return ids.new(self._clock.now(), self._entropy(8))

    async def _record(
        self,
        connection: Connection,
        action: str,
        subject: Subject,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> None:
        """Record what the transaction does, with the current actor. See AuditEvent for the fields."""
        audit_event = AuditEvent(subject.org_id, subject.app_id, action, subject.target, before, after)
        await store.record(connection, self._new_id(), audit.current(), audit_event)


def existing(found: _Found | None) -> _Found:
    """What was found. Raises NotFound if it is None."""
    if found is None:
        raise NotFound()
    return found
