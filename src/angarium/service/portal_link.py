"""Creates portal links, which let customers in without an account, and exchanges them for sessions.

The key of a link is in the fragment of its URL, which browsers do not send to servers. It names the
application and has a token for it, valid as long as the link. A browser exchanges the key for a session. A
link can be opened any number of times until it expires or is revoked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode
from uuid import UUID

import msgspec

from angarium import json_bounds
from angarium.core import canonical, ids
from angarium.core.audit import ActorKind, AuditEvent
from angarium.core.claims import Capability, Claims, ParentCredential
from angarium.core.errors import BadRequest, NotAuthenticated
from angarium.core.profile_table import Portal
from angarium.service import audit
from angarium.service.token import APPLICATION_LIFETIME, Tokens


@dataclass(frozen=True, slots=True)
class PortalLink:
    """A new link: its key, the token inside, and the theme of the portal."""

    key: str = field(repr=False)
    token: str = field(repr=False)
    theme: Mapping[str, str] = field(default_factory=dict)

    def url(self, base: str) -> str:
        """The URL of the link: the theme is in the query, the key in the fragment, so that no log has it."""
        query = f"?{urlencode(self.theme)}" if self.theme else ""
        return f"{base}/login{query}#key={self.key}"


@dataclass(frozen=True, slots=True)
class Session:
    """What a browser keeps after it has opened a link."""

    token: str = field(repr=False)
    claims: Claims


class _Key(msgspec.Struct, frozen=True):
    appId: str  # noqa: N815 (the name in Svix's links)
    token: str


class PortalLinks:
    """Creates and opens portal links."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def make(
        self,
        org_id: str,
        app_id: UUID,
        *,
        feature_flags: Sequence[str] = (),
        capabilities: Sequence[Capability] | None = None,
        session_id: str | None = None,
        lifetime: float = APPLICATION_LIFETIME,
        theme: Mapping[str, str] | None = None,
        origin: ParentCredential | None = None,
    ) -> PortalLink:
        """A link to one application; `capabilities` None allows everything. It ends with its `origin`."""
        token = self._tokens.for_application(
            org_id,
            app_id,
            feature_flags=feature_flags,
            capabilities=capabilities,
            session_id=session_id,
            lifetime=lifetime,
            origin=origin,
        )
        key = msgspec.json.encode(_Key(ids.text(ids.APPLICATION, app_id), token))
        return PortalLink(canonical.url_safe_text(key), token, theme or {})

    async def give(
        self,
        org_id: str,
        app_id: UUID,
        portal: Portal,
        *,
        feature_flags: Sequence[str] = (),
        capabilities: Sequence[Capability] | None = None,
        session_id: str | None = None,
        lifetime: float | None = None,
        origin: ParentCredential,
    ) -> PortalLink:
        """Like `make`, for the holder of `origin`; the link is in the audit log before it is returned.

        `portal`: the product's settings, for the theme and the default lifetime.
        """
        link = self.make(
            org_id,
            app_id,
            feature_flags=feature_flags,
            capabilities=capabilities,
            session_id=session_id,
            lifetime=portal.lifetime_seconds if lifetime is None else lifetime,
            theme=portal.theme,
            origin=origin,
        )
        claims = self._tokens.verify(link.token)
        said = {
            "capabilities": None if capabilities is None else [str(one) for one in capabilities],
            "featureFlags": list(feature_flags),
            "sessionId": session_id,
            "lifetimeSeconds": claims.expires_at - int(claims.issued_at),
        }
        await self._tokens.record(AuditEvent(org_id, app_id, "portal_link.made", claims.name, None, said))
        return link

    async def open(self, key: str) -> Session:
        """A session in exchange for the key of a link. Raises NotAuthenticated."""
        try:
            packed = canonical.url_safe(key)
            json_bounds.check(packed)
            shown = msgspec.json.decode(packed, type=_Key)
            link = self._tokens.verify(shown.token)
        except (ValueError, BadRequest):
            raise NotAuthenticated() from None
        if link.app_id is None or ids.text(ids.APPLICATION, link.app_id) != shown.appId:
            raise NotAuthenticated()
        await self._tokens.check_live(link)
        token = self._tokens.for_session(link)
        audit.acting(ActorKind.PORTAL_SESSION, link.name)
        await self._tokens.record(AuditEvent(link.org_id, link.app_id, "session.begun", link.name))
        return Session(token, self._tokens.verify(token))

    async def operate(self, token: str) -> Session:
        """A session on the operator's pages in exchange for an organization token.

        Raises NotAuthenticated.
        """
        try:
            shown = self._tokens.verify(token)
        except BadRequest:
            raise NotAuthenticated() from None
        made = self._tokens.for_operator(shown)
        await self._tokens.check_live(shown)
        audit.acting(ActorKind.OPERATOR_SESSION, shown.name)
        await self._tokens.record(AuditEvent(shown.org_id, None, "session.begun", shown.name))
        return Session(made, self._tokens.verify(made))

    async def operator_view(self, operator: Claims, app_id: UUID) -> Session:
        """A read-only session for an operator in a customer's portal."""
        token = self._tokens.for_operator_view(operator, app_id)
        await self._tokens.record(AuditEvent(operator.org_id, app_id, "portal.viewed", None))
        return Session(token, self._tokens.verify(token))
