"""Lists organization tokens that were used, and revokes them.

A token is valid without a row; the first use stores its hash, and later uses update the time of last use.
Revocation is looked up every LOOK_EVERY seconds per token, once for all concurrent requests. The process
that revokes a token refuses it at once, every other one within that time, and message intake pays for one
lookup per second.
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
NOTE_USE_EVERY: Final = 60.0  # seconds between updates of the time of last use
MOST_LISTED: Final = 1000
PREFIX: Final = "token_"
_MOST_LOOKED_AT: Final = 1024
_FOREVER: Final = 100 * 365 * 86400.0  # how long the revocation of a token without expiry is kept
_ID_DIGITS: Final = 16
_REFERENCE: Final = re.compile(r"token_[0-9a-f]{16}")
_NO_APPLICATION: Final = UUID(int=0)


def id_of(digest: bytes) -> str:
    """The public id of a token; its first digits are its name in the audit log."""
    return PREFIX + digest.hex()[:_ID_DIGITS]


@dataclass(slots=True)
class _Look:
    """The result of the last lookup of a token."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    good_until: float = 0.0
    note_at: float = 0.0


class OrganizationTokens:
    """Looks up, lists and revokes organization tokens."""

    def __init__(self, database: Database, clock: Clock, entropy: Callable[[int], bytes]) -> None:
        self._database = database
        self._clock = clock
        self._entropy = entropy
        self._looks: OrderedDict[bytes, _Look] = OrderedDict()

    def is_live(self, digest: bytes) -> bool:
        """Whether a recent lookup found that the token is not revoked."""
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
        """The tokens that were used, last used first, including revoked ones; at most MOST_LISTED."""
        async with self._database.connection() as connection:
            return await store.page(connection, org_id, MOST_LISTED)

    async def revoke(self, org_id: str, ref: str) -> None:
        """Revoke the token with this id, and every session made with it. Raises NotFound."""
        async with self._database.connection() as connection:
            known = _REFERENCE.fullmatch(ref)
            found = await store.find(connection, org_id, ref.removeprefix(PREFIX)) if known else None
        if found is None:
            raise NotFound("No used token has this id.")
        expires_at = math.inf if found.expires_at is None else found.expires_at.timestamp()
        await self.refuse(org_id, found.digest, expires_at)

    async def refuse(self, org_id: str, digest: bytes, expires_at: float) -> None:
        """Revoke a token that may never have been used. It must be the organization's."""
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
