"""Defines the fields of an endpoint that callers set, and validates them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from angarium.core.errors import Invalid
from angarium.core.nouns import MAX_TEXT, DisabledReason, Endpoint, check_text
from angarium.core.patterns import is_wildcard
from angarium.store import event_type
from angarium.store.connection import Connection


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
