"""Page of the audit log of an application: who changed what, when and from where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from angarium.core import ids
from angarium.core.audit import Actor, ActorKind
from angarium.core.product import Product
from angarium.portal.kit.route import page
from angarium.portal.kit.visit import Visit
from angarium.service.audit import PREFIX, Audit
from angarium.store.audit import Record

ROWS: Final = 50


async def show(visit: Visit) -> Response:
    noun = noun_of(visit.request, NOUNS)
    found, newer, older = await records(
        visit.services.audit, visit.application.org_id, visit.request, noun, visit.app_id
    )
    name = naming(visit.product)
    return visit.render(
        "customer/audit.html",
        section="audit",
        heading="Activity",
        nouns=NOUNS,
        noun=noun,
        lines=[for_customer(one, visit.product.profile.title, name) for one in found],
        newer=newer and visit.path("audit", what=noun, after=newer),
        older=older and visit.path("audit", what=noun, before=older),
    )


def noun_of(request: Request, nouns: dict[str, str]) -> str:
    """The kind of object that the query selects; empty for all."""
    asked = request.query_params.get("what", "")
    return asked if asked in nouns else ""


async def records(
    audit: Audit, org_id: str, request: Request, noun: str, app: str | UUID | None
) -> tuple[Sequence[Record], str | None, str | None]:
    """A page of records, and the cursors of newer and older ones."""
    after, before = (ids.parse(PREFIX, request.query_params.get(name, "")) for name in ("after", "before"))
    backwards = after is not None
    found = list(
        await audit.page(
            org_id, after or before, app=app, action=noun or None, upwards=backwards, limit=ROWS + 1
        )
    )
    more = len(found) > ROWS
    found = found[:ROWS]
    if backwards:
        found.reverse()
    if not found:
        return [], None, None
    newer = ids.text(PREFIX, found[0].id) if (more if backwards else before is not None) else None
    older = ids.text(PREFIX, found[-1].id) if backwards or more else None
    return found, newer, older


def naming(product: Product) -> Callable[[str], str]:
    """A function that converts native ids to the ids of this product."""
    known = {
        ids.ENDPOINT: product.profile.ids.endpoint,
        ids.MESSAGE: product.profile.ids.message,
        ids.ATTEMPT: product.profile.ids.attempt,
    }

    def name(text: str) -> str:
        for native, own in known.items():
            if (found := ids.parse(native, text)) is not None:
                return ids.text(own, found)
        return text

    return name


MAX_VALUE: Final = 200  # characters of a value that are shown

NOUNS: Final = {
    "endpoint": "Endpoints",
    "message": "Messages",
    "delivery": "Bulk resends",
    "task": "Tasks",
    "inbox": "Play inboxes",
    "portal_link": "Portal links",
    "session": "Sessions",
    "token": "Tokens",
    "api_key": "API keys",
}
ALL_NOUNS: Final = {
    "application": "Applications",
    **NOUNS,
    "portal": "Operator views",
    "event_type": "Event types",
}

ACTIONS: Final = {
    "api_key.made": "API key created",
    "api_key.revoked": "API key revoked",
    "application.created": "Application created",
    "application.deleted": "Application deleted",
    "application.updated": "Application changed",
    "attempt.expunged": "Response of an attempt deleted",
    "delivery.resend.begun": "Bulk resend started",
    "endpoint.created": "Endpoint added",
    "endpoint.deleted": "Endpoint deleted",
    "endpoint.disabled": "Endpoint disabled",
    "endpoint.enabled": "Endpoint enabled",
    "endpoint.headers.changed": "Headers changed",
    "endpoint.recover.begun": "Recovery of undelivered messages started",
    "endpoint.replay.begun": "Replay of missed messages started",
    "endpoint.secret.activated": "New secret activated",
    "endpoint.secret.revealed": "Secret shown",
    "endpoint.secret.rotated": "Secret replaced",
    "endpoint.test.sent": "Test sent",
    "endpoint.updated": "Endpoint changed",
    "event_type.catalogue_written": "Event types updated from the profile",
    "event_type.created": "Event type created",
    "event_type.expunged": "Event type deleted",
    "event_type.updated": "Event type changed",
    "inbox.cleared": "Play inbox emptied",
    "inbox.created": "Play inbox created",
    "inbox.deleted": "Play inbox deleted",
    "inbox.updated": "Response of a Play inbox changed",
    "message.expunged": "Payload deleted",
    "message.resent": "Message sent again",
    "organization.profile_given": "Profile assigned",
    "portal.viewed": "Operator view opened",
    "portal_link.made": "Portal link created",
    "session.begun": "Session started",
    "session.ended": "Session ended",
    "task.canceled": "Task stopped",
    "token.all_ended": "All links and tokens revoked",
    "token.ended": "Token logged out",
    "token.revoked": "Token revoked",
}
_CUSTOMERS: Final = (ActorKind.PORTAL_SESSION, ActorKind.APPLICATION_TOKEN, ActorKind.API_KEY)
_FIELDS: Final = {
    "channels": "Channels",
    "delay": "Delay",
    "description": "Description",
    "disabled": "Disabled",
    "endpoint": "Endpoint",
    "eventType": "Event type",
    "eventTypes": "Event types",
    "failures": "Failures",
    "fifo": "In order",
    "headers": "Headers",
    "headersSet": "Headers set",
    "name": "Name",
    "rateLimit": "Rate limit",
    "secretInForce": "Active secret",
    "secrets": "Secrets",
    "status": "Status",
    "uid": "UID",
    "url": "URL",
}
_INTERNAL: Final = frozenset({"metadata", "version"})


@dataclass(frozen=True, slots=True)
class Change:
    """One changed field; None if it was or is absent."""

    field: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Line:
    """A record as a row of a page."""

    at: datetime
    what: str
    who: str
    address: str | None
    target: str | None
    changes: list[Change]
    record: Record


def for_customer(record: Record, product: str, name: Callable[[str], str]) -> Line:
    """The row for a customer, without the operator's identity and internal changes."""
    operator = record.actor.kind not in _CUSTOMERS
    told = not record.audit_event.action.startswith("application.")
    return Line(
        record.at,
        words(record.audit_event.action),
        _who_for_customer(record.actor, product),
        None if operator else record.actor.address,
        name(record.audit_event.target) if record.audit_event.target else None,
        [one for one in _changes(record, name) if one.field not in _INTERNAL] if told else [],
        record,
    )


def for_operator(record: Record, name: Callable[[str], str]) -> Line:
    """The row for an operator, with all details."""
    kind = record.actor.kind.value.replace("-", " ").capitalize()
    return Line(
        record.at,
        words(record.audit_event.action),
        f"{kind} {record.actor.name}".strip(),
        record.actor.address,
        name(record.audit_event.target) if record.audit_event.target else None,
        _changes(record, name),
        record,
    )


def words(action: str) -> str:
    """The title of an action; unknown actions unchanged."""
    return ACTIONS.get(action, action)


def _who_for_customer(actor: Actor, product: str) -> str:
    match actor.kind:
        case ActorKind.PORTAL_SESSION:
            return f"Portal link {actor.name}"
        case ActorKind.API_KEY:
            return f"API key {actor.name}"
        case ActorKind.APPLICATION_TOKEN:
            return f"Token {actor.name}"
        case ActorKind.SYSTEM:
            return "System"
        case _:
            return product


def _changes(record: Record, name: Callable[[str], str]) -> list[Change]:
    before, after = record.audit_event.before or {}, record.audit_event.after or {}
    return [
        Change(_FIELDS.get(field, field), _value(before, field, name), _value(after, field, name))
        for field in sorted(before.keys() | after.keys())
        if before.get(field) is not None or after.get(field) is not None
    ]


def _value(values: Any, field: str, name: Callable[[str], str]) -> str | None:
    if field not in values:
        return None
    value = values[field]
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case str():
            text = name(value) if value else "empty"
        case list():
            text = ", ".join(map(str, value)) or "none"
        case _:
            text = msgspec.json.encode(value).decode()
    return text if len(text) <= MAX_VALUE else text[:MAX_VALUE] + "…"


def routes() -> list[Route]:
    return [page("/audit", show)]
