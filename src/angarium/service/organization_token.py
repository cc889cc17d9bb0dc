"""Organization tokens in use: seen, listed, and revoked one by one.

A token is good without a row, so each that is used is noted by its hash, with when it was used last. Whether
one was revoked is looked up again after LOOK_EVERY seconds, once for all requests that wait for the answer:
a revoked token is refused at once by the process that revoked it, and within that time by every other,
and the intake of messages pays for one look-up a second.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from angarium.clock import Clock, datetime_at
from angarium.core.audit import AuditEvent
from angarium.core.errors import CredentialExpired, NotFound
from angarium.service import audit
from angarium.store import organization_token as store
from angarium.store import revoked_token
from angarium.store.database import Database
from angarium.store.organization_token import OrganizationToken

LOOK_EVERY: Final = 1.0  # seconds
NOTE_USE_EVERY: Final = 60.0  # seconds between notes of a token's use
MOST_LISTED: Final = 1000
PREFIX: Final = "token_"
_MOST_LOOKED_AT: Final = 1024
_FOREVER: Final = 100 * 365 * 86400.0  # what never expires is remembered for so long once it is revoked
_ID_DIGITS: Final = 16
_REFERENCE: Final = re.compile(r"token_[0-9a-f]{16}")
_NO_APPLICATION: Final = UUID(int=0)


def id_of(digest: bytes) -> str:
    """What a token is called, which is no secret; its first digits are its name in the audit log."""
    return PREFIX + digest.hex()[:_ID_DIGITS]


@dataclass(slots=True)
class _Look:
    """What was found when the token was looked up last."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    good_until: float = 0.0
    note_at: float = 0.0


class OrganizationTokens:
    """Look up, list and revoke."""

    def __init__(self, database: Database, clock: Clock, entropy: Callable[[int], bytes]) -> None:
        self._database = database
        self._clock = clock
        self._entropy = entropy
        self._looks: OrderedDict[bytes, _Look] = OrderedDict()

    def is_live(self, digest: bytes) -> bool:
        """Whether the token was looked up lately, and was not revoked."""
        look = self._looks.get(digest)
        return look is not None and self._clock.steady() < look.good_until

    async def check(self, org_id: str, digest: bytes, expires_at: float) -> None:
        """Raises CredentialExpired when the token was revoked. `expires_at` in epoch seconds, or infinite."""
        look = self._looks.get(digest)
        if look is None:
            look = self._looks[digest] = _Look()
            if len(self._looks) > _MOST_LOOKED_AT:
                self._looks.popitem(last=False)
        if self._clock.steady() < look.good_until:
            return
        async with look.lock:
            now, asked_at = self._clock.now(), self._clock.steady()
            if asked_at < look.good_until:
                return
            async with self._database.connection() as connection:
                at = datetime_at(now)
                if await revoked_token.is_ended(connection, [digest], _NO_APPLICATION, None, at, at):
                    raise CredentialExpired()
                if asked_at >= look.note_at:
                    expiry = None if math.isinf(expires_at) else datetime_at(min(expires_at, now + _FOREVER))
                    await store.used(connection, org_id, digest, expiry, at)
                    look.note_at = asked_at + NOTE_USE_EVERY
            look.good_until = asked_at + LOOK_EVERY

    async def page(self, org_id: str) -> list[OrganizationToken]:
        """The tokens that were used, the newest use first, revoked ones too; at most MOST_LISTED."""
        async with self._database.connection() as connection:
            return await store.page(connection, org_id, MOST_LISTED)

    async def revoke(self, org_id: str, ref: str) -> None:
        """Refuse the token with this id, and every session that came of it. Raises NotFound."""
        async with self._database.connection() as connection:
            known = _REFERENCE.fullmatch(ref)
            found = await store.find(connection, org_id, ref.removeprefix(PREFIX)) if known else None
        if found is None:
            raise NotFound("No such token was used.")
        expires_at = math.inf if found.expires_at is None else found.expires_at.timestamp()
        await self.refuse(org_id, found.digest, expires_at)

    async def refuse(self, org_id: str, digest: bytes, expires_at: float) -> None:
        """The same for a token that may never have been used. It must be the organization's."""
        now = self._clock.now()
        at, until = datetime_at(now), datetime_at(min(expires_at, now + _FOREVER) + LOOK_EVERY * 120)
        async with self._database.transaction() as connection:
            if await revoked_token.is_ended(connection, [digest], _NO_APPLICATION, None, at, at):
                return
            await revoked_token.create(connection, digest, until, at)
            await store.revoke(connection, org_id, digest, at)
            audit_event = AuditEvent(org_id, None, "token.revoked", id_of(digest))
            await audit.record(connection, now, self._entropy, audit_event)
        self._looks.pop(digest, None)
