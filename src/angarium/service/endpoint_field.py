"""Defines the fields of an endpoint that callers set, and their rules.

Some are secret: signing keys, the values of some headers, and the login of the URL. A replaced key signs for
a grace period. Secret values of headers and the login are sent only to the scheme, host and port that they
were entered for. Otherwise a caller who may change the URL could send them to another host and read them
there.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from angarium.core.envelope import check_header
from angarium.core.errors import BadRequest, FieldError, Invalid
from angarium.core.nouns import MAX_TEXT, DisabledReason, Endpoint, SigningKey, check_text
from angarium.core.patterns import is_wildcard
from angarium.core.signature import PRIVATE, check_secret, new_secret
from angarium.core.url import hide_login, is_hidden, same_origin
from angarium.store import event_type
from angarium.store.connection import Connection

HeaderChange = Callable[[dict[str, str]], dict[str, str]]

MAX_OLD: Final = 10
DEFAULT_GRACE: Final = 86400
MAX_GRACE: Final = 604800
MAX_HEADERS: Final = 64
SENSITIVE: Final = frozenset(
    {
        "authorization",
        "proxy-authenticate",
        "proxy-authorization",
        "www-authenticate",
        "x-api-key",
        "x-auth-token",
    }
)
"""Names of headers whose values are never shown."""


@dataclass(frozen=True, slots=True)
class EndpointDraft:
    """The fields that callers set, except the secret and headers."""

    url: str
    description: str = ""
    uid: str | None = None
    version: int = 1
    rate_limit: int | None = None
    event_types: tuple[str, ...] | None = None
    channels: tuple[str, ...] | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    disabled: bool = False
    fifo: bool = False
    name: str | None = None
    """A display name, used by some products' APIs; None keeps the current name."""

    @classmethod
    def of(cls, endpoint: Endpoint) -> EndpointDraft:
        return cls(
            url=endpoint.url,
            description=endpoint.description,
            uid=endpoint.uid,
            version=endpoint.version,
            rate_limit=endpoint.rate_limit,
            event_types=endpoint.event_types,
            channels=endpoint.channels,
            metadata=endpoint.metadata,
            disabled=endpoint.disabled_at is not None,
            fifo=endpoint.fifo,
            name=endpoint.name,
        )

    def onto(self, endpoint: Endpoint, login: str | None, now: datetime) -> Endpoint:
        """The endpoint with the draft and the login of its URL applied; `now` is the time of disabling.

        Raises Invalid for a changed text that is too long, and for an empty filter.
        """
        for name, wanted in (("eventTypes", self.event_types), ("channels", self.channels)):
            if wanted is not None and not wanted:
                raise Invalid.field(
                    name, "At least one value is required. To receive all, omit the field or set it to null."
                )
        check_text("description", self.description, MAX_TEXT, endpoint.description)
        check_text("name", self.name or "", MAX_TEXT)
        changed = replace(
            endpoint,
            uid=self.uid,
            url=self.url,
            login=login,
            description=self.description,
            version=self.version,
            rate_limit=self.rate_limit,
            event_types=self.event_types,
            channels=self.channels,
            metadata=self.metadata,
            fifo=self.fifo,
            name=endpoint.name if self.name is None else self.name,
        )
        if self.disabled == (endpoint.disabled_at is not None):
            return changed
        return replace(
            changed,
            disabled_at=now if self.disabled else None,
            disabled_reason=DisabledReason.MANUAL if self.disabled else None,
        )


Change = Callable[[EndpointDraft], EndpointDraft]


async def check_event_types(connection: Connection, org_id: str, patterns: tuple[str, ...] | None) -> None:
    """Raises Invalid unless every name is an existing event type. A wildcard need only be well-formed."""
    names = [pattern for pattern in patterns or () if not is_wildcard(pattern)]
    if not names:
        return
    known = await event_type.known(connection, org_id, names)
    missing = [name for name in names if name not in known]
    if missing:
        raise Invalid.field("eventTypes", f"These event types do not exist: {', '.join(missing[:10])}")


def chosen(secret: str, *, field: str) -> SigningKey:
    """A key given by the caller. Raises Invalid on `field`."""
    try:
        check_secret(secret)
    except ValueError as error:
        raise Invalid.field(field, str(error)) from error
    return SigningKey(secret)


def made(entropy: Callable[[int], bytes], *, like: SigningKey | None = None) -> SigningKey:
    """A generated key, of the same kind as `like`."""
    if like is None or not like.secret.startswith(PRIVATE):
        return SigningKey(new_secret(entropy(24)))
    seed = entropy(32)
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return SigningKey(PRIVATE + base64.b64encode(seed + public).decode("ascii"))


def in_force(keys: Sequence[SigningKey], now: float) -> SigningKey:
    """The key that signs where only one signature fits: the first that is not pending."""
    living = [key for key in keys if key.expires_at is None or key.expires_at > now]
    return next((key for key in living if (key.active_at or 0.0) <= now), keys[0])


def pending(keys: Sequence[SigningKey], now: float) -> SigningKey | None:
    """The key that will replace the current one, if there is one."""
    return next((key for key in keys if key.active_at is not None and key.active_at > now), None)


def rotated(
    keys: Sequence[SigningKey], new: SigningKey, *, now: float, grace: float, two_phase: bool = False
) -> tuple[SigningKey, ...]:
    """The keys after a rotation, new first; the replaced one signs for `grace` more seconds.

    `two_phase`: until then the new key is pending. Expired keys are dropped, and so is a pending key that
    was never activated. Raises BadRequest when too many old keys are in use.
    """
    current = in_force(keys, now)
    in_use = [
        key for key in keys if key is not current and key.expires_at is not None and key.expires_at > now
    ]
    starts = now
    if grace > 0:
        in_use.insert(0, SigningKey(current.secret, now + grace))
        if two_phase:
            starts = now + grace
    if len(in_use) > MAX_OLD:
        raise BadRequest(code="limit_reached", most=MAX_OLD)
    return (SigningKey(new.secret, None, starts), *in_use)


def activated(keys: Sequence[SigningKey], now: float) -> tuple[SigningKey, ...]:
    """The keys after the pending one is activated; the expiry of the others does not change.

    Raises BadRequest when none is pending.
    """
    new = pending(keys, now)
    if new is None:
        raise BadRequest(code="no_pending_secret")
    return (SigningKey(new.secret, None, now), *(key for key in keys if key is not new))


@dataclass(frozen=True, slots=True)
class Difference:
    """Which values differ from those of an endpoint."""

    url: bool
    secret: bool
    headers: tuple[str, ...]


def difference(
    endpoint: Endpoint, url: bool, secret: str | None, headers: Mapping[str, str], now: float
) -> Difference:
    """Compare a secret and headers with those of an endpoint. `url`: whether its URL differs."""
    known = [in_force(endpoint.keys, now), pending(endpoint.keys, now)]
    same_secret = secret is None or any(
        one is not None and hmac.compare_digest(one.secret.encode(), secret.encode()) for one in known
    )
    current = {name.lower(): value.encode() for name, value in endpoint.headers.items()}
    differing = [
        name
        for name, value in headers.items()
        if name.lower() not in current or not hmac.compare_digest(current[name.lower()], value.encode())
    ]
    return Difference(url, not same_secret, tuple(differing))


def check_headers(headers: Mapping[str, str]) -> None:
    """Raises Invalid with every header that is not allowed or cannot be sent."""
    faults = [
        FieldError(("body", "headers", name), why)
        for name, value in headers.items()
        if (why := _refusal(name, value)) is not None
    ]
    if len({name.lower() for name in headers}) < len(headers):
        faults.append(FieldError(("body", "headers"), "Two header names differ only in case."))
    if len(headers) > MAX_HEADERS:
        faults.append(FieldError(("body", "headers"), f"An endpoint has at most {MAX_HEADERS} headers."))
    if faults:
        raise Invalid(*faults)


def _refusal(name: str, value: str) -> str | None:
    try:
        check_header(name, value)
    except ValueError as error:
        return str(error)
    return None


def merged(
    before: Mapping[str, str], changes: Mapping[str, str | None], removed: Iterable[str] = ()
) -> dict[str, str]:
    """Headers after a change; null values and `removed` remove headers. Names are case-insensitive."""
    gone = {name.lower() for name in (*changes, *removed)}
    kept = {name: value for name, value in before.items() if name.lower() not in gone}
    return kept | {name: value for name, value in changes.items() if value is not None}


def carried(headers: Mapping[str, str], url: str, new_url: str) -> dict[str, str]:
    """The headers of `url` that may be sent to `new_url`, both checked: another host gets no secret ones."""
    return dict(headers) if url == new_url or same_origin(url, new_url) else shown(headers)[0]


def changed_for(
    headers: Mapping[str, str], url: str, new_url: str, change: HeaderChange | None = None
) -> dict[str, str]:
    """An endpoint's headers after its URL becomes `new_url`. `change` gets those that `carried` keeps.

    Raises Invalid when the new URL has another host and secret headers were not entered again.
    """
    kept = carried(headers, url, new_url)
    if change is not None:
        return change(kept)
    if len(kept) < len(headers):
        names = ", ".join(name for name in headers if name not in kept)
        raise Invalid.field(
            "url",
            "The new URL has another host. The values of this endpoint's secret headers must not be sent "
            f"to it: {names}. Remove them first, or replace the endpoint (PUT) with its headers.",
        )
    return kept


def shown(headers: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The headers that may be shown, and the names of the others."""
    sensitive = [name for name in headers if name.lower() in SENSITIVE]
    return {name: value for name, value in headers.items() if name.lower() not in SENSITIVE}, sensitive


def kept_login(url: str, before: Endpoint | None) -> tuple[str, str | None]:
    """A checked URL as it is stored, and its login: the current one if the given one is masked.

    Raises ValueError when there is no such login, or when it would be sent to another host.
    """
    shown, login = hide_login(url)
    if not is_hidden(login):
        return shown, login
    if before is None or before.login is None or hide_login(before.url)[1] != login:
        raise ValueError("the URL has *** in place of its password; enter the password")
    if not same_origin(before.url, url):
        raise ValueError("the URL has another host; enter the password again in place of ***")
    return shown, before.login
