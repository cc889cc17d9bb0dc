"""The claims of a token: what its payload says, written and read.

The names of JWT where it has them (`sub`, `exp`, …), and our own for the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import inf, isfinite
from typing import Any, Final
from uuid import UUID

from angarium.core import ids
from angarium.core.errors import BadRequest, NotAuthenticated
from angarium.core.patterns import is_event_type

_LATEST: Final = 2.0**37  # the latest time that a database can hold with ease
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_MOST_ORIGINS: Final = 4


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
class ParentCredential:
    """The credential that a token is made with: the token ends when its origin does.

    `digests`: of the credential, and of those that it was made with in turn.
    """

    digests: tuple[bytes, ...]
    expires_at: float = inf


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
    origins: tuple[bytes, ...] = ()  # digests of the other credentials that it was made with
    operator: bool = False  # the session of an operator who looks at a customer's portal

    @property
    def digests(self) -> tuple[bytes, ...]:
        """Of the token, and of every credential that ends it by being revoked."""
        return (self.digest, *((self.link,) if self.link is not None else ()), *self.origins)

    @property
    def origin(self) -> ParentCredential:
        """As the origin of another token."""
        return ParentCredential(self.digests, self.expires_at)

    @property
    def name(self) -> str:
        """Tells tokens apart in the audit log."""
        return self.digest.hex()[:8]

    @property
    def parent(self) -> str:
        """The name of the token that a session was made from."""
        return "" if self.link is None else self.link.hex()[:8]


def written(
    org_id: str,
    app_id: UUID | None = None,
    *,
    feature_flags: Iterable[str] = (),
    capabilities: Iterable[Capability] | None = None,
    session_id: str | None = None,
    link: bytes | None = None,
    origins: Iterable[bytes] = (),
    since: float | None = None,
    operator: bool = False,
) -> dict[str, Any]:
    """The payload of a token, without its times. `capabilities` None means all of them.

    `since`: the token counts as issued then, when the tokens of its application are expired all at once.
    """
    payload: dict[str, Any] = {"sub": org_id}
    if app_id is not None:
        payload = {"sub": ids.text(ids.APPLICATION, app_id), "org": org_id}
    if flags := list(feature_flags):
        payload["feature_flags"] = flags
    if capabilities is not None:
        payload["capabilities"] = [str(capability) for capability in capabilities]
    if session_id is not None:
        payload["session_id"] = session_id
    if link is not None:
        payload["link"] = link.hex()
    if listed := [origin.hex() for origin in origins]:
        payload["origins"] = listed
    if since is not None:
        payload["since"] = since
    if operator:
        payload["operator"] = True
    return payload


def term(payload: Mapping[str, Any]) -> tuple[float, float]:
    """From when and until when a token says that it is good. Raises NotAuthenticated for what is no time."""
    expires_at = _number(payload.get("exp"), inf)
    return _number(payload.get("nbf"), 0.0), expires_at


def read(payload: Mapping[str, Any], digest: bytes) -> Claims:
    """What a payload says. `digest`: of the token.

    Raises BadRequest when it names neither kind of subject, or NotAuthenticated for what is no time.
    """
    _, expires_at = term(payload)
    subject = payload.get("sub")
    shown = payload.get("link")
    link = bytes.fromhex(shown) if isinstance(shown, str) and _DIGEST.fullmatch(shown) else None
    if isinstance(subject, str) and _is_organization(subject):
        return Claims(subject, None, frozenset(), EVERYTHING, None, 0.0, expires_at, digest, link)
    app_id = ids.parse(ids.APPLICATION, subject) if isinstance(subject, str) else None
    org_id = payload.get("org")
    if app_id is None or not isinstance(org_id, str) or not _is_organization(org_id):
        raise BadRequest("The token names neither an organization nor an application.", code="bad_token")
    issued_at = _number(payload.get("iat"), 0.0) + _number(payload.get("ms"), 0.0) / 1000
    named = payload.get("capabilities")
    granted = _strings(named)
    session = payload.get("session_id")
    return Claims(
        org_id,
        app_id,
        _strings(payload.get("feature_flags")),
        EVERYTHING if named is None else frozenset(c for c in Capability if c in granted),
        session if isinstance(session, str) else None,
        max(0.0, min(_LATEST, _number(payload.get("since"), issued_at))),
        expires_at,
        digest,
        link,
        _digests(payload.get("origins")),
        operator=payload.get("operator") is True,
    )


def _number(value: object, default: float) -> float:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise NotAuthenticated()
    try:
        number = float(value)
    except OverflowError:
        raise NotAuthenticated() from None
    if not isfinite(number):  # PyJWT accepts NaN, which would never expire
        raise NotAuthenticated()
    return number


def _digests(value: object) -> tuple[bytes, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > _MOST_ORIGINS:
        raise NotAuthenticated()
    if not all(isinstance(one, str) and _DIGEST.fullmatch(one) for one in value):
        raise NotAuthenticated()
    return tuple(bytes.fromhex(one) for one in value)


def _strings(value: object) -> frozenset[str]:
    return frozenset(v for v in value if isinstance(v, str)) if isinstance(value, list) else frozenset()


def _is_organization(value: str) -> bool:
    return value.startswith(ids.ORGANIZATION) and is_event_type(value)
