"""Creates, verifies and revokes tokens: JWTs for an organization, or for one of its applications (portal).

A token needs no row in the database: any correctly signed `org_…` is a tenant. Only what a JWT cannot express
is stored: the hash of a token that was logged out or revoked, until the token expires, and the time up to
which all tokens of an application were revoked. A session is a short-lived token made from a portal link's or
an organization's token; a lookup checks whether either of the two was revoked.

Application tokens are looked up at each use, organization tokens every LOOK_EVERY seconds, once for all
concurrent requests. The process that revokes an organization token refuses it at once, every other one within
that time, and message intake pays for one lookup per second. The first use of an organization token stores
its hash, and later uses update the time of last use.

A token names its origins, the credentials that it was made with (core/claims.py). It expires no later than
they do, and each lookup includes them: revoking a token or key also ends what was made with it.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypedDict, Unpack
from uuid import UUID

from angarium.clock import Clock, datetime_at
from angarium.core import claims as core
from angarium.core import ids
from angarium.core.claims import Capability, Claims, ParentCredential
from angarium.core.errors import BadRequest, CredentialExpired, NotAllowed, NotAuthenticated, NotFound
from angarium.core.token_key import TokenKey, TokenKeys
from angarium.service.use_case import Subject, UseCase
from angarium.store import token as store
from angarium.store.database import Database
from angarium.store.token import OrganizationToken

LEEWAY: Final = 60.0  # seconds that the clocks of issuer and server may differ
ORGANIZATION_LIFETIME: Final = 10 * 365 * 86400.0
APPLICATION_LIFETIME: Final = 604800.0
SESSION_LIFETIME: Final = 12 * 3600.0
VIEW_LIFETIME: Final = 3600.0
LOOK_EVERY: Final = 1.0  # seconds between lookups of an organization token
NOTE_USE_EVERY: Final = 60.0  # seconds between updates of the time of last use
MOST_LISTED: Final = 1000
PREFIX: Final = "token_"  # of an organization token's id
_MOST_LOOKED_AT: Final = 1024
_FOREVER: Final = 100 * 365 * 86400.0  # how long the revocation of a token without expiry is kept
_ID_DIGITS: Final = 16
_REFERENCE: Final = re.compile(r"token_[0-9a-f]{16}")
_NO_APPLICATION: Final = UUID(int=0)
_CACHE: Final = 1024
_NO_TOKEN: Final = "Not a valid token of this organization."  # noqa: S105


class Grant(TypedDict, total=False):
    """What a token of an application is for."""

    feature_flags: Sequence[str]
    capabilities: Sequence[Capability] | None  # None: all of them
    session_id: str | None
    lifetime: float | None  # seconds; None: APPLICATION_LIFETIME


class Tokens(UseCase):
    """Creates, verifies and revokes tokens."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        entropy: Callable[[int], bytes],
        key: TokenKey | TokenKeys,
    ) -> None:
        super().__init__(database, clock, entropy)
        self._key = key
        self.organization = OrganizationTokens(database, clock, entropy)
        self._verified: OrderedDict[str, Claims] = OrderedDict()

    def use(self, key: TokenKeys) -> None:
        """Sign and verify with other keys from now on."""
        self._key = key
        self._verified.clear()

    def for_organization(self, org_id: str, *, lifetime: float = ORGANIZATION_LIFETIME) -> str:
        """A token for the operator's own back end."""
        return self._sign(core.written(org_id), lifetime)

    def for_application(
        self, org_id: str, app_id: UUID, *, origin: ParentCredential | None = None, **grant: Unpack[Grant]
    ) -> str:
        """A token for one application. It ends with its `origin`."""
        lifetime = grant.get("lifetime")
        payload = core.written(
            org_id,
            app_id,
            feature_flags=grant.get("feature_flags", ()),
            capabilities=grant.get("capabilities"),
            session_id=grant.get("session_id"),
            origins=() if origin is None else origin.digests,
        )
        return self._sign(
            payload,
            APPLICATION_LIFETIME if lifetime is None else lifetime,
            math.inf if origin is None else origin.expires_at,
        )

    def for_session(self, link: Claims) -> str:
        """A browser's session made from a portal link, with the link's capabilities; it ends with the link.

        Raises NotAuthenticated for other tokens.
        """
        if link.app_id is None or link.link is not None:
            raise NotAuthenticated()
        payload = core.written(
            link.org_id,
            link.app_id,
            feature_flags=sorted(link.feature_flags),
            capabilities=sorted(link.capabilities),
            session_id=link.session_id,
            link=link.digest,
            origins=link.origins,
            since=link.issued_at,
        )
        return self._sign(payload, SESSION_LIFETIME, link.expires_at)

    def for_operator(self, token: Claims) -> str:
        """A browser's session made from an organization token, for the operator's own pages.

        Raises NotAuthenticated for other tokens.
        """
        if token.app_id is not None or token.link is not None:
            raise NotAuthenticated()
        payload = core.written(token.org_id, link=token.digest)
        return self._sign(payload, SESSION_LIFETIME, token.expires_at)

    def for_operator_view(self, operator: Claims, app_id: UUID) -> str:
        """An operator's read-only session in a customer's portal; it ends with the operator's session."""
        if operator.app_id is not None or operator.link is None:
            raise NotAuthenticated()
        payload = core.written(
            operator.org_id,
            app_id,
            capabilities=[Capability.VIEW],
            link=operator.digest,
            origins=(operator.link,),
            operator=True,
        )
        return self._sign(payload, VIEW_LIFETIME, operator.expires_at)

    def _sign(self, payload: dict[str, Any], lifetime: float, latest: float = math.inf) -> str:
        """`lifetime` in seconds; the token expires at `latest` (epoch seconds) at the latest."""
        now = self._clock.now()
        second = int(now)
        expires_at = int(min(second + lifetime, latest))
        payload |= {"iss": "angarium", "iat": second, "nbf": second, "exp": expires_at}
        payload["ms"] = (
            int(now * 1000) % 1000
        )  # so that `end_all` does not affect tokens made later in the same second
        payload["jti"] = self._entropy(12).hex()  # tokens of one second differ, so that each can be revoked
        return self._key.sign(payload)

    def remembered(self, token: str) -> Claims | None:
        """The cached result of `verify`, while the token is valid."""
        known = self._verified.get(token)
        return None if known is None or self._clock.now() > known.expires_at + LEEWAY else known

    def at_once(self, token: str) -> Claims | None:
        """The claims of an organization token, if they and its validity are cached."""
        claims = self.remembered(token)
        if claims is None or claims.link is not None or claims.app_id is not None:
            return None
        return claims if self.organization.is_live(claims.digest) else None

    def verify(self, token: str) -> Claims:
        """The claims of the token. Raises NotAuthenticated, or BadRequest for an unknown kind of subject.

        Does not check revocation: see `check_live`.
        """
        now = self._clock.now()
        known = self._verified.get(token)
        if known is not None:
            if now > known.expires_at + LEEWAY:
                raise CredentialExpired()
            return known
        claims = self._parse(token, now)
        self._verified[token] = claims
        if len(self._verified) > _CACHE:
            self._verified.popitem(last=False)
        return claims

    def _parse(self, token: str, now: float) -> Claims:
        payload = self._key.open(token)
        begins_at, expires_at = core.term(payload)
        if now > expires_at + LEEWAY or now < begins_at - LEEWAY:
            raise CredentialExpired()
        return core.read(payload, hashlib.sha256(token.encode()).digest())

    async def check_live(self, claims: Claims) -> None:
        """Raises CredentialExpired when the token has expired, or it or one of its origins was revoked."""
        if self._clock.now() > claims.expires_at + LEEWAY:
            raise CredentialExpired()
        if claims.app_id is None and claims.link is None:
            await self.organization.check(claims.org_id, claims.digest, claims.expires_at)
            return
        async with self._database.connection() as connection:
            if await store.is_revoked(
                connection,
                list(claims.digests),
                claims.app_id or _NO_APPLICATION,
                claims.session_id,
                datetime_at(claims.issued_at),
                self._now(),
            ):
                raise CredentialExpired()

    async def revoke_shown(self, org_id: str, token: str) -> None:
        """Revoke a token of the organization or of one of its applications.

        Raises NotFound when it is another organization's, has expired, or is not a token.
        """
        try:
            claims = self.verify(token)
        except (NotAuthenticated, BadRequest):
            raise NotFound(_NO_TOKEN) from None
        if claims.org_id != org_id:
            raise NotFound(_NO_TOKEN)
        if claims.app_id is None and claims.link is None:
            await self.organization.refuse(org_id, claims.digest, claims.expires_at)
        else:
            await self.revoke(claims)

    async def revoke(self, claims: Claims) -> None:
        """Revoke the token on every server at once. Raises NotAllowed for an organization token."""
        if claims.app_id is None and claims.link is None:
            raise NotAllowed("Only an application token can be logged out.")
        now = self._clock.now()
        until = min(claims.expires_at, now + ORGANIZATION_LIFETIME) + 2 * LEEWAY  # clocks differ
        async with self._database.transaction() as connection:
            await store.refuse(connection, claims.digest, datetime_at(until), datetime_at(now))
            action = "token.ended" if claims.link is None else "session.ended"
            await self._record(connection, action, Subject(claims.org_id, claims.app_id, claims.name))

    async def end_all(self, app_id: UUID, *, session_ids: Sequence[str] | None, delay: float = 0.0) -> None:
        """Revoke all current tokens, links and sessions of the application, or those of some session ids.

        They are refused after `delay` seconds. Tokens created later are not affected.
        """
        now = self._clock.now()
        async with self._database.transaction() as connection:
            for session_id in [None] if session_ids is None else dict.fromkeys(session_ids):
                await store.refuse_all(
                    connection, app_id, session_id, datetime_at(now), datetime_at(now + delay)
                )
            said = {"sessions": None if session_ids is None else list(session_ids), "afterSeconds": delay}
            subject = Subject(None, app_id, ids.text(ids.APPLICATION, app_id))
            await self._record(connection, "token.all_ended", subject, after=said)

    async def record(self, action: str, subject: Subject, after: Mapping[str, Any] | None = None) -> None:
        """Record that a token was created. Return the token to its caller only after this commit."""
        async with self._database.transaction() as connection:
            await self._record(connection, action, subject, after=after)


def id_of(digest: bytes) -> str:
    """The public id of a token; its first digits are its name in the audit log."""
    return PREFIX + digest.hex()[:_ID_DIGITS]


@dataclass(slots=True)
class _Look:
    """The result of the last lookup of a token."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    good_until: float = 0.0
    note_at: float = 0.0


class OrganizationTokens(UseCase):
    """Looks up, lists and revokes organization tokens."""

    def __init__(self, database: Database, clock: Clock, entropy: Callable[[int], bytes]) -> None:
        super().__init__(database, clock, entropy)
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
                if await store.is_revoked(connection, [digest], _NO_APPLICATION, None, at, at):
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
            if await store.is_revoked(connection, [digest], _NO_APPLICATION, None, at, at):
                return
            await store.refuse(connection, digest, until, at)
            await store.revoke(connection, org_id, digest, at)
            await self._record(connection, "token.revoked", Subject(org_id, None, id_of(digest)))
        self._looks.pop(digest, None)
