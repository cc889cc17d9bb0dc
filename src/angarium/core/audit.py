"""Values of the audit log: who did what. It holds fingerprints of secrets, never secrets.

An action is `noun.verb` (`endpoint.updated`), so that the log can be filtered by noun.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec

from angarium.core.contact import Contact
from angarium.core.email import masked
from angarium.core.inbox import InboxAnswer
from angarium.core.nouns import Application, Endpoint, EventType
from angarium.core.url import split_credentials


class ActorKind(StrEnum):
    """The credential with which someone acts."""

    ORGANIZATION_TOKEN = "organization-token"  # noqa: S105 (the name of a kind)
    APPLICATION_TOKEN = "application-token"  # noqa: S105
    PORTAL_SESSION = "portal-session"
    API_KEY = "api-key"
    OPERATOR_SESSION = "operator-session"
    COMMAND_LINE = "command-line"
    SYSTEM = "system"  # the server itself
    STRANGER = "stranger"  # a request without credentials so far


class Actor(msgspec.Struct, frozen=True, gc=False):
    """Who acts. `name` identifies one of a kind: a key's id, or the first digits of a token's digest.

    `org_id` and `app_id` say for whom. The audit log takes them from the change itself.
    """

    kind: ActorKind
    name: str = ""
    address: str | None = None
    org_id: str | None = None
    app_id: UUID | None = None

    @property
    def text(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind.value

    @classmethod
    def of(cls, text: str, address: str | None) -> Actor:
        """Parse the output of `text`."""
        kind, _, name = text.partition(":")
        return cls(ActorKind(kind), name, address)

    def became(
        self, kind: ActorKind, name: str = "", org_id: str | None = None, app_id: UUID | None = None
    ) -> Actor:
        """The actor at the same address, once it is authenticated."""
        return Actor(kind, name, self.address, org_id, app_id)


SYSTEM = Actor(ActorKind.SYSTEM)


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """What was done. `target` is a public id or a name. `before` and `after` hold the changed fields.

    `org_id` None: the organization of the application.
    """

    org_id: str | None
    app_id: UUID | None
    action: str
    target: str | None = None
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None


def difference(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The fields that differ between two views; None if there are none."""
    names = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
    if not names:
        return None
    return (
        {name: before[name] for name in sorted(names) if name in before},
        {name: after[name] for name in sorted(names) if name in after},
    )


def fingerprint(secret: str) -> str:
    """Short hash that distinguishes secrets without revealing them."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def application_view(application: Application) -> dict[str, Any]:
    return {
        "name": application.name,
        "uid": application.uid,
        "rateLimit": application.rate_limit,
        "metadata": application.metadata,
    }


def endpoint_view(endpoint: Endpoint) -> dict[str, Any]:
    """An endpoint without secrets: fingerprints of keys, names of headers."""
    return {
        "url": _url(endpoint),
        "uid": endpoint.uid,
        "name": endpoint.name,
        "description": endpoint.description,
        "version": endpoint.version,
        "rateLimit": endpoint.rate_limit,
        "eventTypes": None if endpoint.event_types is None else list(endpoint.event_types),
        "channels": None if endpoint.channels is None else list(endpoint.channels),
        "metadata": endpoint.metadata,
        "fifo": endpoint.fifo,
        "disabled": endpoint.disabled_at is not None,
        "headers": sorted(endpoint.headers),
        **secret_view(endpoint),
    }


def secret_view(endpoint: Endpoint) -> dict[str, Any]:
    """Fingerprints of the secrets that were shown."""
    return {"secrets": [fingerprint(key.secret) for key in endpoint.keys]}


def contact_view(contact: Contact) -> dict[str, Any]:
    """A contact. Its address is masked: the audit log is kept for longer than the contact."""
    return {"email": masked(contact.email), "kinds": list(contact.kinds), "status": contact.status.value}


def answer_view(answer: InboxAnswer) -> dict[str, Any]:
    """How an inbox of Play answers."""
    return {"status": answer.status_code, "delay": answer.delay, "failures": answer.failure_percent}


def event_type_view(event_type: EventType) -> dict[str, Any]:
    """An event type. Its schemas are fingerprints, because they may be long."""
    schemas = event_type.schemas
    return {
        "description": event_type.description,
        "archived": event_type.archived,
        "deprecated": event_type.deprecated,
        "featureFlags": list(event_type.feature_flags),
        "groupName": event_type.group_name,
        "schemas": None if schemas is None else fingerprint(repr(schemas)),
    }


def _url(endpoint: Endpoint) -> str:
    """A URL with its login and query, which often hold a key, replaced by a fingerprint."""
    bare, _ = split_credentials(endpoint.url)
    place, _, query = bare.partition("?")
    hidden = (endpoint.login or "") + query
    return place + (f"?#{fingerprint(hidden)}" if hidden else "")
