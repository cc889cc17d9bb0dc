"""Repeats the changes that a restore must not undo: revocations, deletions, erasures, disabled endpoints.

It reads audit records that were exported before (`export`). A record that the database has is skipped, so it
can be repeated. A record that is repeated, or cannot be, is added to the audit log as it was.

The audit log has fingerprints of secrets only. So the new secret of a rotation, and the new values of most
other changes, are unknown; such records are counted, to be done by hand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from angarium.clock import Clock, datetime_at
from angarium.core import ids
from angarium.core.audit import Actor, AuditEvent
from angarium.core.errors import AngariumError, NotFound, StoreUnavailable
from angarium.service.api_key import PREFIX as KEY
from angarium.service.api_key import ApiKeys
from angarium.service.application import Applications
from angarium.service.audit import PREFIX
from angarium.service.endpoint import Endpoints
from angarium.service.erasure import Erasures
from angarium.service.token import PREFIX as TOKEN
from angarium.service.use_case import UseCase
from angarium.store import audit, restore, token
from angarium.store.audit import Record
from angarium.store.connection import Connection
from angarium.store.database import Database

_REVOKED: Final = frozenset({"token.revoked", "token.ended", "session.ended"})


class RevokedToken(msgspec.Struct, rename="camel"):
    """The whole digest of a revoked token, of which the audit record has the first digits."""

    digest: str
    expires_at: datetime


class ExportedRecord(msgspec.Struct, rename="camel", omit_defaults=True):
    """One audit record, as a line of the export."""

    id: str
    at: datetime
    org_id: str
    actor: str
    action: str
    app_id: str | None = None
    address: str | None = None
    target: str | None = None
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    revoked: RevokedToken | None = None

    def record(self) -> Record:
        """Raises ValueError if an id or the actor is malformed."""
        record_id = ids.parse(PREFIX, self.id)
        app_id = None if self.app_id is None else ids.parse(ids.APPLICATION, self.app_id)
        if record_id is None or (self.app_id is not None and app_id is None):
            raise ValueError(f"{self.id}: not an audit record")
        event = AuditEvent(self.org_id, app_id, self.action, self.target, self.before, self.after)
        return Record(record_id, Actor.of(self.actor, self.address), event)


async def export(database: Database, after: UUID) -> AsyncIterator[ExportedRecord]:
    """The audit records of all organizations after an id, oldest first."""
    async with database.connection() as connection:
        async for one in restore.records(connection, after):
            event = one.audit_event
            found = None
            if event.action in _REVOKED and event.target:
                found = await restore.revoked(connection, event.target.removeprefix(TOKEN))
            yield ExportedRecord(
                id=ids.text(PREFIX, one.id),
                at=one.at,
                org_id=event.org_id or "",
                actor=one.actor.text,
                action=event.action,
                app_id=None if event.app_id is None else ids.text(ids.APPLICATION, event.app_id),
                address=one.actor.address,
                target=event.target,
                before=None if event.before is None else dict(event.before),
                after=None if event.after is None else dict(event.after),
                revoked=None if found is None else RevokedToken(found[0].hex(), found[1]),
            )


@dataclass(slots=True)
class Reapplied:
    """Counts of the records: those that the database had (`known`), and by action those that were repeated,
    had no object (`gone`), or have to be done by hand, with their targets as far as there is room."""

    known: int = 0
    malformed: int = 0
    repeated: Counter[str] = field(default_factory=Counter)
    gone: Counter[str] = field(default_factory=Counter)
    by_hand: Counter[str] = field(default_factory=Counter)
    targets: list[str] = field(default_factory=list)


class _ByHandError(Exception):
    """The record does not say enough to repeat it."""


class Reapply(UseCase):
    """Repeats audit records, in their order."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        entropy: Callable[[int], bytes],
        *,
        applications: Applications,
        endpoints: Endpoints,
        keys: ApiKeys,
    ) -> None:
        super().__init__(database, clock, entropy)
        self._applications = applications
        self._endpoints = endpoints
        self._keys = keys
        self._erasures = Erasures(database, clock, entropy)

    async def run(self, lines: Iterable[bytes], done: Reapplied) -> None:
        """Repeat the records of an export, and add to the counts."""
        decoder = msgspec.json.Decoder(ExportedRecord)
        for line in lines:
            try:
                exported = decoder.decode(line)
                record = exported.record()
            except (msgspec.MsgspecError, ValueError):
                done.malformed += 1
                continue
            async with self._database.connection() as connection:
                if await restore.has_record(connection, record):
                    done.known += 1
                    continue
            await self._repeat(exported, record, done)
            async with self._database.transaction() as connection:
                await audit.record(connection, record.id, record.actor, record.audit_event)

    async def _repeat(self, exported: ExportedRecord, record: Record, done: Reapplied) -> None:
        action = exported.action
        try:
            await self._act(exported, record.audit_event)
        except StoreUnavailable:
            raise
        except NotFound:
            done.gone[action] += 1
        except (_ByHandError, AngariumError):
            done.by_hand[action] += 1
            if len(done.targets) < restore.PAGE:
                done.targets.append(f"{action} {exported.target or ''}".rstrip())
        else:
            done.repeated[action] += 1

    async def _act(self, exported: ExportedRecord, event: AuditEvent) -> None:
        assert event.org_id is not None
        after, target = event.after or {}, event.target or ""
        match event.action:
            case "token.revoked" | "token.ended" | "session.ended":
                async with self._database.transaction() as connection:
                    await self._refuse(connection, exported, event.org_id, target)
            case "token.all_ended" if event.app_id is not None:
                async with self._database.transaction() as connection:
                    for session_id in after.get("sessions") or [None]:
                        ends_at = exported.at.timestamp() + float(after.get("afterSeconds") or 0)
                        await token.refuse_all(
                            connection, event.app_id, session_id, exported.at, datetime_at(ends_at)
                        )
            case "api_key.revoked":
                key_id = ids.parse(KEY, target)
                if key_id is None:
                    raise _ByHandError
                await self._keys.revoke(event.org_id, key_id)
            case "application.deleted":
                await self._applications.delete(event.org_id, target)
            case "application.erase.begun" | "application.erased":
                await self._erasures.application(event.org_id, target)
            case "message.erase.begun" | "message.erased" if event.app_id is not None:
                app_ref = ids.text(ids.APPLICATION, event.app_id)
                application = await self._applications.find(event.org_id, app_ref)
                await self._erasures.message(application, target)
            case "endpoint.deleted" if event.app_id is not None:
                await self._endpoints.delete(event.app_id, target)
            case "endpoint.disabled" | "endpoint.enabled" | "endpoint.updated" if "disabled" in after:
                await self._disable(event, target, disabled=bool(after["disabled"]))
                if after.keys() != {"disabled"}:
                    raise _ByHandError  # the other fields
            case "endpoint.disabled":
                await self._disable(event, target, disabled=True)
            case _:
                raise _ByHandError

    async def _disable(self, event: AuditEvent, target: str, *, disabled: bool) -> None:
        if event.app_id is None or event.org_id is None:
            raise _ByHandError
        application = await self._applications.find(event.org_id, ids.text(ids.APPLICATION, event.app_id))
        await self._endpoints.update(application, target, lambda draft: replace(draft, disabled=disabled))

    async def _refuse(
        self, connection: Connection, exported: ExportedRecord, org_id: str, target: str
    ) -> None:
        """Refuse a token. Its digest comes from the export, or from the list of tokens that were used."""
        start = target.removeprefix(TOKEN)
        if exported.revoked is not None and exported.revoked.digest.startswith(start):
            digest, until = bytes.fromhex(exported.revoked.digest), exported.revoked.expires_at
        elif (used := await token.find(connection, org_id, start)) is not None:
            digest = used.digest
            until = used.expires_at or datetime_at(self._clock.now() + 100 * 365 * 86400.0)
        else:
            raise _ByHandError
        await token.refuse(connection, digest, until, exported.at)
        await token.revoke(connection, org_id, digest, exported.at)
