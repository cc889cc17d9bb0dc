"""Tokens: JWTs that stand for an organization, or for one application of it (the portal).

A token needs no row in the database: any correctly signed `org_…` is a tenant. The exceptions are what a
JWT cannot express: the hash of a token that was logged out or revoked is kept until it would have expired,
and so is the time up to which an application's tokens were ended all at once. Application tokens are looked
up at each use, an organization's once in a while (`service/organization_token.py`). A session is a short
token made from another, the one in a portal link or an organization's; a look-up finds out whether it was
logged out, or the one that it was made from was ended.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from angarium.clock import Clock, datetime_at
from angarium.core import ids
from angarium.core.audit import Deed
from angarium.core.errors import BadRequest, Expired, NotAllowed, NotAuthenticated, NotFound
from angarium.core.patterns import is_event_type
from angarium.service import audit
from angarium.service.organization_token import OrganizationTokens
from angarium.store import revoked_token
from angarium.store.database import Database

LEEWAY: Final = 60.0  # seconds that the clocks of issuer and server may differ
ORGANIZATION_LIFETIME: Final = 10 * 365 * 86400.0
APPLICATION_LIFETIME: Final = 604800.0
SESSION_LIFETIME: Final = 12 * 3600.0
LOOK_LIFETIME: Final = 3600.0
_CACHE: Final = 1024
_LATEST: Final = 2.0**37  # the latest time that a database can hold with ease
_NO_APPLICATION: Final = UUID(int=0)
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class Capability(StrEnum):
    """What the holder of an application token may do."""

    VIEW = "ViewBase"
    VIEW_SECRET = "ViewEndpointSecret"  # noqa: S105 (the name of a permission)
    MANAGE_SECRET = "ManageEndpointSecret"  # noqa: S105
    MANAGE_TRANSFORMATIONS = "ManageTransformations"
    CREATE_ATTEMPTS = "CreateAttempts"
    MANAGE_ENDPOINT = "ManageEndpoint"


EVERYTHING: Final = frozenset(Capability)


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says. `app_id` is None for an organization token."""

    org_id: str
    app_id: UUID | None
    feature_flags: frozenset[str]
    capabilities: frozenset[Capability]
    session_id: str | None
    issued_at: float
    expires_at: float
    digest: bytes  # of the token itself
    link: bytes | None = None  # a session's: the digest of the token that it was made from
    operator: bool = False  # the session of an operator who looks at a customer's portal

    @property
    def name(self) -> str:
        """Tells tokens apart in the audit log."""
        return self.digest.hex()[:8]


@dataclass(frozen=True, slots=True)
class TokenKey:
    """The algorithm and its keys: one text for HS256/384/512, PEM texts for RS… and EdDSA.

    Without a signing key tokens are verified but not made.
    """

    algorithm: str
    verifying: str
    signing: str | None

    @classmethod
    def of(cls, secret: str, algorithm: str = "HS256") -> TokenKey:
        """From the one secret of the settings: a text, or a private or public PEM key."""
        if algorithm.startswith("HS"):
            return cls(algorithm, secret, secret)
        if "PRIVATE" not in secret.partition("\n")[0]:
            return cls(algorithm, secret, None)
        public = load_pem_private_key(secret.encode(), None).public_key()
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        return cls(algorithm, pem, secret)


class Tokens:
    """Makes and verifies tokens."""

    def __init__(
        self, database: Database, clock: Clock, entropy: Callable[[int], bytes], key: TokenKey
    ) -> None:
        self._database = database
        self._clock = clock
        self._entropy = entropy
        self._key = key
        self.organization = OrganizationTokens(database, clock, entropy)
        self._verified: OrderedDict[str, Claims] = OrderedDict()

    def for_organization(self, org_id: str, *, lifetime: float = ORGANIZATION_LIFETIME) -> str:
        """A token of the operator's own back end."""
        return self._sign({"sub": org_id}, lifetime)

    def for_application(
        self,
        org_id: str,
        app_id: UUID,
        *,
        feature_flags: Sequence[str] = (),
        capabilities: Sequence[Capability] | None = None,
        session_id: str | None = None,
        lifetime: float = APPLICATION_LIFETIME,
    ) -> str:
        """A token for one application; `capabilities` None means all of them."""
        claims: dict[str, Any] = {"sub": ids.text(ids.APPLICATION, app_id), "org": org_id}
        if feature_flags:
            claims["feature_flags"] = list(feature_flags)
        if capabilities is not None:
            claims["capabilities"] = [str(capability) for capability in capabilities]
        if session_id is not None:
            claims["session_id"] = session_id
        return self._sign(claims, lifetime)

    def for_session(self, link: Claims) -> str:
        """A browser's session made from a portal link: may do what the link may, and ends when it ends.

        Raises NotAuthenticated for what is not a link's token.
        """
        if link.app_id is None or link.link is not None:
            raise NotAuthenticated()
        claims: dict[str, Any] = {
            "sub": ids.text(ids.APPLICATION, link.app_id),
            "org": link.org_id,
            "feature_flags": sorted(link.feature_flags),
            "capabilities": sorted(link.capabilities),
            "link": link.digest.hex(),
        }
        if link.session_id is not None:
            claims["session_id"] = link.session_id
        return self._sign(claims, self._at_most(SESSION_LIFETIME, link))

    def for_operator(self, token: Claims) -> str:
        """A browser's session made from an organization token, for the operator's own pages.

        Raises NotAuthenticated for what is not an organization's token.
        """
        if token.app_id is not None or token.link is not None:
            raise NotAuthenticated()
        claims = {"sub": token.org_id, "link": token.digest.hex()}
        return self._sign(claims, self._at_most(SESSION_LIFETIME, token))

    def for_look(self, operator: Claims, app_id: UUID) -> str:
        """An operator's session in a customer's portal: it may look, and ends with the operator's own."""
        if operator.app_id is not None or operator.link is None:
            raise NotAuthenticated()
        claims: dict[str, Any] = {
            "sub": ids.text(ids.APPLICATION, app_id),
            "org": operator.org_id,
            "capabilities": [Capability.VIEW.value],
            "link": operator.digest.hex(),
            "operator": True,
        }
        return self._sign(claims, self._at_most(LOOK_LIFETIME, operator))

    def _at_most(self, lifetime: float, origin: Claims) -> float:
        return min(lifetime, max(0.0, origin.expires_at - self._clock.now()))

    def _sign(self, claims: dict[str, Any], lifetime: float) -> str:
        if self._key.signing is None:
            raise BadRequest(
                "This server can verify tokens but has no key to make them.", code="no_signing_key"
            )
        now = self._clock.now()
        second = int(now)
        claims |= {"iss": "angarium", "iat": second, "nbf": second, "exp": second + int(lifetime)}
        claims["ms"] = int(now * 1000) % 1000  # so that ending all tokens spares those made right after it
        claims["jti"] = self._entropy(12).hex()  # two tokens of one second differ, so one can be logged out
        return jwt.encode(claims, self._key.signing, algorithm=self._key.algorithm)

    def remembered(self, token: str) -> Claims | None:
        """What `verify` said of the token before, while it is in force."""
        known = self._verified.get(token)
        return None if known is None or self._clock.now() > known.expires_at + LEEWAY else known

    def at_once(self, token: str) -> Claims | None:
        """What an organization's token says, when that and its being in force are known without asking."""
        claims = self.remembered(token)
        if claims is None or claims.link is not None or claims.app_id is not None:
            return None
        return claims if self.organization.is_live(claims.digest) else None

    def verify(self, token: str) -> Claims:
        """What the token says. Raises NotAuthenticated, or BadRequest when it names neither kind of subject.

        Says nothing about a logout: see `check_live`.
        """
        now = self._clock.now()
        known = self._verified.get(token)
        if known is not None:
            if now > known.expires_at + LEEWAY:
                raise Expired()
            return known
        claims = self._parse(token, now)
        self._verified[token] = claims
        if len(self._verified) > _CACHE:
            self._verified.popitem(last=False)
        return claims

    def _parse(self, token: str, now: float) -> Claims:
        secret = self._key.signing or ""
        if self._key.algorithm.startswith("HS") and hmac.compare_digest(token.encode(), secret.encode()):
            raise NotAuthenticated(
                "The token is the server's JWT secret itself. The secret only signs tokens: make one with "
                "`angarium token` and send that, and replace the secret if it has left the server."
            )
        try:
            payload = jwt.decode(
                token,
                self._key.verifying,
                algorithms=[self._key.algorithm],
                # times are judged below, by our clock
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False},
            )
        except (jwt.InvalidTokenError, ValueError) as error:
            raise NotAuthenticated() from error
        expires_at = _number(payload.get("exp"), float("inf"))
        if now > expires_at + LEEWAY or now < _number(payload.get("nbf"), 0.0) - LEEWAY:
            raise Expired()
        return _claims(payload, expires_at, hashlib.sha256(token.encode()).digest())

    async def check_live(self, claims: Claims) -> None:
        """Raises NotAuthenticated when the token, or the one behind a session, was ended."""
        if claims.app_id is None and claims.link is None:
            await self.organization.check(claims.org_id, claims.digest, claims.expires_at)
            return
        digests = [claims.digest] if claims.link is None else [claims.digest, claims.link]
        async with self._database.connection() as connection:
            if await revoked_token.is_ended(
                connection,
                digests,
                claims.app_id or _NO_APPLICATION,
                claims.session_id,
                datetime_at(claims.issued_at),
                datetime_at(self._clock.now()),
            ):
                raise Expired()

    async def revoke_shown(self, org_id: str, token: str) -> None:
        """Refuse a token of the organization, or of an application of it, whoever has it.

        Raises NotFound when it is another's, has expired, or never was one.
        """
        try:
            claims = self.verify(token)
        except (NotAuthenticated, BadRequest):
            raise NotFound("This is no token of yours that is in force.") from None
        if claims.org_id != org_id:
            raise NotFound("This is no token of yours that is in force.")
        if claims.app_id is None and claims.link is None:
            await self.organization.refuse(org_id, claims.digest, claims.expires_at)
        else:
            await self.revoke(claims)

    async def revoke(self, claims: Claims) -> None:
        """Log the token out, on every server at once. Raises NotAllowed for an organization token."""
        if claims.app_id is None and claims.link is None:
            raise NotAllowed("Only an application token can be logged out.")
        now = self._clock.now()
        until = min(claims.expires_at, now + ORGANIZATION_LIFETIME) + LEEWAY
        async with self._database.transaction() as connection:
            await revoked_token.create(connection, claims.digest, datetime_at(until), datetime_at(now))
            action = "token.ended" if claims.link is None else "session.ended"
            deed = Deed(claims.org_id, claims.app_id, action, claims.name)
            await audit.record(connection, now, self._entropy, deed)

    async def end_all(self, app_id: UUID, *, session_ids: Sequence[str] | None, delay: float = 0.0) -> None:
        """End every token that the application has by now, links and sessions too, or those of some sessions.

        They are refused after `delay` seconds; those made from now on are not concerned.
        """
        now = self._clock.now()
        async with self._database.transaction() as connection:
            for session_id in [None] if session_ids is None else dict.fromkeys(session_ids):
                await revoked_token.end_all(
                    connection, app_id, session_id, datetime_at(now), datetime_at(now + delay)
                )
            said = {"sessions": None if session_ids is None else list(session_ids), "afterSeconds": delay}
            deed = Deed(None, app_id, "token.all_ended", ids.text(ids.APPLICATION, app_id), None, said)
            await audit.record(connection, now, self._entropy, deed)

    async def record(self, deed: Deed) -> None:
        """Write down that a token was made: it is given away once this is committed."""
        async with self._database.transaction() as connection:
            await audit.record(connection, self._clock.now(), self._entropy, deed)


def _number(value: object, default: float) -> float:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise NotAuthenticated()
    return float(value)


def _strings(value: object) -> frozenset[str]:
    return frozenset(v for v in value if isinstance(v, str)) if isinstance(value, list) else frozenset()


def _is_organization(value: object) -> bool:
    return isinstance(value, str) and value.startswith(ids.ORGANIZATION) and is_event_type(value)


def _claims(payload: dict[str, Any], expires_at: float, digest: bytes) -> Claims:
    subject = payload.get("sub")
    shown = payload.get("link")
    link = bytes.fromhex(shown) if isinstance(shown, str) and _DIGEST.fullmatch(shown) else None
    if isinstance(subject, str) and _is_organization(subject):
        return Claims(subject, None, frozenset(), EVERYTHING, None, 0.0, expires_at, digest, link)
    app_id = ids.parse(ids.APPLICATION, subject) if isinstance(subject, str) else None
    org_id = payload.get("org")
    if app_id is None or not isinstance(org_id, str) or not _is_organization(org_id):
        raise BadRequest("The token names neither an organization nor an application.", code="bad_token")
    named = payload.get("capabilities")
    granted = _strings(named)
    session = payload.get("session_id")
    return Claims(
        org_id,
        app_id,
        _strings(payload.get("feature_flags")),
        EVERYTHING if named is None else frozenset(c for c in Capability if c in granted),
        session if isinstance(session, str) else None,
        max(0.0, min(_LATEST, _number(payload.get("iat"), 0.0) + _number(payload.get("ms"), 0.0) / 1000)),
        expires_at,
        digest,
        link,
        operator=payload.get("operator") is True,
    )
