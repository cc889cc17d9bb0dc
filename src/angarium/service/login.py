"""Logs callers in: creates portal links, opens sessions, checks tokens, and throttles and logs failures."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from typing import Final, Unpack
from urllib.parse import urlencode
from uuid import UUID

import msgspec
import structlog

from angarium import json_bounds
from angarium.clock import Clock
from angarium.core import canonical, ids
from angarium.core.audit import ActorKind
from angarium.core.claims import Claims, ParentCredential
from angarium.core.errors import BadRequest, CredentialExpired, NotAuthenticated, TooManyFailures
from angarium.core.profile_table import Portal
from angarium.service import audit
from angarium.service.token import Grant, Tokens
from angarium.service.use_case import Subject

log = structlog.get_logger(__name__)

FAILURES: Final = 30  # size of the bucket of an address
EVERY: Final = 2.0  # seconds in which one failure leaks from it
KNOWN_GUESSES: Final = 16  # newest cookies remembered per address, by their hashes
WINDOW: Final = 600.0  # seconds after which an origin's failures are counted from one again
LINES: Final = 20  # of the log at once
LINE_EVERY: Final = 1.0  # seconds per additional line
MOST_KNOWN: Final = 10_000  # addresses
_NETWORK: Final = 64  # prefix length of an IPv6 network: its owner has at least a /64


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
    """Creates portal links, and opens sessions.

    A link lets a customer in without an account. Its key is in the fragment of its URL, which browsers do not
    send to servers. The key names the application and has a token for it, valid as long as the link. A
    browser exchanges the key for a session, any number of times until the link expires or is revoked.
    """

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def make(
        self,
        org_id: str,
        app_id: UUID,
        *,
        theme: Mapping[str, str] | None = None,
        origin: ParentCredential | None = None,
        **grant: Unpack[Grant],
    ) -> PortalLink:
        """A link to one application. It ends with its `origin`."""
        token = self._tokens.for_application(org_id, app_id, origin=origin, **grant)
        key = msgspec.json.encode(_Key(ids.text(ids.APPLICATION, app_id), token))
        return PortalLink(canonical.url_safe_text(key), token, theme or {})

    async def give(
        self,
        org_id: str,
        app_id: UUID,
        portal: Portal,
        *,
        origin: ParentCredential,
        **grant: Unpack[Grant],
    ) -> PortalLink:
        """Like `make`, for the holder of `origin`; the link is in the audit log before it is returned.

        `portal`: the product's settings, for the theme and the default lifetime.
        """
        if grant.get("lifetime") is None:
            grant["lifetime"] = portal.lifetime_seconds
        link = self.make(org_id, app_id, theme=portal.theme, origin=origin, **grant)
        claims, capabilities = self._tokens.verify(link.token), grant.get("capabilities")
        said = {
            "capabilities": None if capabilities is None else [str(one) for one in capabilities],
            "featureFlags": list(grant.get("feature_flags", ())),
            "sessionId": grant.get("session_id"),
            "lifetimeSeconds": claims.expires_at - int(claims.issued_at),
        }
        await self._tokens.record("portal_link.made", Subject(org_id, app_id, claims.name), said)
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
        await self._tokens.record("session.begun", Subject(link.org_id, link.app_id, link.name))
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
        await self._tokens.record("session.begun", Subject(shown.org_id, None, shown.name))
        return Session(made, self._tokens.verify(made))

    async def operator_view(self, operator: Claims, app_id: UUID) -> Session:
        """A read-only session for an operator in a customer's portal."""
        token = self._tokens.for_operator_view(operator, app_id)
        await self._tokens.record("portal.viewed", Subject(operator.org_id, app_id))
        return Session(token, self._tokens.verify(token))


class LoginThrottle:
    """Counts failures by address in this process, and slows down callers that fail too often.

    Each address has a leaky bucket of failures. While it is full, further failures are answered with
    TooManyFailures. Valid credentials always pass, even from a throttled address, so clients behind one
    address cannot lock each other out; keys are too long to be guessed anyway. A browser sends the same
    invalid cookie with every request: it counts once. An IPv6 network counts as one address, and the number
    of remembered addresses is bounded.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._empty_at: OrderedDict[str, float] = OrderedDict()  # address -> when its bucket is empty
        self._guesses: OrderedDict[str, deque[int]] = OrderedDict()
        self._log = FailureLog(clock)

    @contextmanager
    def watching(self, kind: str, cookie: str | None = None) -> Iterator[None]:
        """Wrap the check of a credential. Raises TooManyFailures when it fails too often for the address.

        `kind`: of the credential, for the log. Expired and revoked credentials do not count. `cookie`: an
        invalid one counts once.
        """
        try:
            yield
        except NotAuthenticated as error:
            address = audit.current().address
            origin = origin_of(address)
            reason, throttled = "ended" if isinstance(error, CredentialExpired) else "invalid", None
            if reason == "invalid" and (cookie is None or self._is_new(origin, cookie)):
                throttled = self._failed(origin)
            self._log.note(origin, reason if throttled is None else "throttled", kind=kind, address=address)
            if throttled is not None:
                raise throttled from None
            raise

    async def admit(
        self,
        tokens: Tokens,
        kind: str,
        token: str,
        fits: Callable[[Claims], bool],
        *,
        cookie: str | None = None,
    ) -> Claims:
        """The claims of a valid token for which `fits` is true; `kind` and `cookie` as for `watching`.

        Raises NotAuthenticated, TooManyFailures, and BadRequest for a subject that is neither an organization
        nor an application.
        """
        with self.watching(kind, cookie):
            claims = tokens.verify(token)
            if not fits(claims):
                raise NotAuthenticated()
            await tokens.check_live(claims)
        return claims

    def _is_new(self, origin: str, cookie: str) -> bool:
        guess, known = hash(cookie), self._guesses.setdefault(origin, deque(maxlen=KNOWN_GUESSES))
        self._guesses.move_to_end(origin)
        if len(self._guesses) > MOST_KNOWN:
            self._guesses.popitem(last=False)
        if guess in known:
            return False
        known.append(guess)
        return True

    def _failed(self, origin: str) -> TooManyFailures | None:
        """Count a failure; the error to raise if there were too many."""
        now = self._clock.steady()
        empty_at = max(now, self._empty_at.get(origin, now)) + EVERY
        if (beyond := empty_at - now - FAILURES * EVERY) > 0:
            return TooManyFailures(retry_after=beyond)
        self._empty_at[origin] = empty_at
        self._empty_at.move_to_end(origin)
        if len(self._empty_at) > MOST_KNOWN:
            self._empty_at.popitem(last=False)
        return None


def origin_of(address: str | None) -> str:
    """What counts as one address: an IPv4 address, or an IPv6 network."""
    try:
        found = ip_address(address or "")
    except ValueError:
        return ""
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(int(found) >> (128 - _NETWORK))
    return str(found)


class FailureLog:
    """Logs refused credentials at a bounded rate, so that guessing cannot flood the log.

    Credentials are never logged. Of the failures of one origin, the 1st, 2nd, 4th, 8th … within a window are
    logged with their number. A token bucket limits the lines of all origins together; suppressed lines are
    counted, and the next line carries their number.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counts: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()
        self._full_at = 0.0  # when the bucket of lines is full again
        self._unlogged = 0

    def note(self, origin: str, reason: str, *, kind: str, address: str | None) -> None:
        """Record one failure. Failures are counted by `origin` and `reason`."""
        now = self._clock.steady()
        count, since = self._counts.pop((origin, reason), (0, now))
        if now - since >= WINDOW:
            count, since = 0, now
        count += 1
        self._counts[origin, reason] = (count, since)
        if len(self._counts) > MOST_KNOWN:
            self._counts.popitem(last=False)
        if count & (count - 1):  # not a power of two
            return
        full_at = max(now, self._full_at) + LINE_EVERY
        if full_at - now > LINES * LINE_EVERY:
            self._unlogged += 1
            return
        self._full_at = full_at
        log.warning(
            "credential.refused",
            kind=kind,
            address=address,
            reason=reason,
            failures=count,
            unlogged=self._unlogged,
        )
        self._unlogged = 0
