"""Reads and writes the claims of tokens.

Claims have their JWT names if there are any (`sub`, `exp`, …), and our own names otherwise.
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

_LATEST: Final = 2.0**37  # the latest time used, well within the range of the database
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
    """The credential with which a token was created. The token ends when its origin does.

    `digests`: of that credential and of the credentials with which it was created.
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
    link: bytes | None = None  # for a session: the digest of the token that it was created from
    origins: tuple[bytes, ...] = ()  # digests of the other credentials used to create it
    operator: bool = False  # an operator's session in a customer's portal

    @property
    def digests(self) -> tuple[bytes, ...]:
        """Digests of the token and of every credential whose revocation ends it."""
        return (self.digest, *((self.link,) if self.link is not None else ()), *self.origins)

    @property
    def origin(self) -> ParentCredential:
        """This token as the origin of another."""
        return ParentCredential(self.digests, self.expires_at)

    @property
    def name(self) -> str:
        """Name of the token in the audit log."""
        return self.digest.hex()[:8]

    @property
    def parent(self) -> str:
        """Name of the token that a session was created from."""
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

    `since`: when the token counts as issued if all tokens of its application are expired at once.
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
    """Start and end of a token's validity. Raises NotAuthenticated if one is not a number."""
    expires_at = _number(payload.get("exp"), inf)
    return _number(payload.get("nbf"), 0.0), expires_at


def read(payload: Mapping[str, Any], digest: bytes) -> Claims:
    """The claims of a payload. `digest`: of the token.

    Raises BadRequest if it has no valid subject, or NotAuthenticated if a time is not a number.
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
        raise BadRequest(code="bad_token")
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
