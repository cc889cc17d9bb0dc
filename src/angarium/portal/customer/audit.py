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
from angarium.portal.kit.text import known, t
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
        heading=t("audit.title"),
        nouns=NOUNS,
        noun=noun,
        lines=[for_customer(one, visit.product.profile.title, name) for one in found],
        newer=newer and visit.path("audit", what=noun, after=newer),
        older=older and visit.path("audit", what=noun, before=older),
    )


def noun_of(request: Request, nouns: Sequence[str]) -> str:
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

NOUNS: Final = (
    "endpoint",
    "message",
    "delivery",
    "task",
    "inbox",
    "portal_link",
    "session",
    "token",
    "api_key",
)
ALL_NOUNS: Final = ("application", *NOUNS, "portal", "event_type")
_CUSTOMERS: Final = (ActorKind.PORTAL_SESSION, ActorKind.APPLICATION_TOKEN, ActorKind.API_KEY)
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
        _changes(record, name, _INTERNAL) if told else [],
        record,
    )


def for_operator(record: Record, name: Callable[[str], str]) -> Line:
    """The row for an operator, with all details."""
    return Line(
        record.at,
        words(record.audit_event.action),
        t(f"audit.actor.{record.actor.kind}", name=record.actor.name).strip(),
        record.actor.address,
        name(record.audit_event.target) if record.audit_event.target else None,
        _changes(record, name),
        record,
    )


def words(action: str) -> str:
    """The title of an action; unknown actions unchanged."""
    return t(f"audit.action.{action}") if known(f"audit.action.{action}") else action


def _who_for_customer(actor: Actor, product: str) -> str:
    shown = actor.kind in (*_CUSTOMERS, ActorKind.SYSTEM)
    return t(f"audit.by.{actor.kind}", name=actor.name) if shown else product


def _changes(
    record: Record, name: Callable[[str], str], without: frozenset[str] = frozenset()
) -> list[Change]:
    before, after = record.audit_event.before or {}, record.audit_event.after or {}
    return [
        Change(_field(field), _value(before, field, name), _value(after, field, name))
        for field in sorted((before.keys() | after.keys()) - without)
        if before.get(field) is not None or after.get(field) is not None
    ]


def _field(name: str) -> str:
    return t(f"audit.field.{name}") if known(f"audit.field.{name}") else name


def _value(values: Any, field: str, name: Callable[[str], str]) -> str | None:
    if field not in values:
        return None
    value = values[field]
    match value:
        case None:
            return t("audit.value.none")
        case bool():
            return t("audit.value.yes") if value else t("audit.value.no")
        case str():
            text = name(value) if value else t("audit.value.empty")
        case list():
            text = ", ".join(map(str, value)) or t("audit.value.none")
        case _:
            text = msgspec.json.encode(value).decode()
    return text if len(text) <= MAX_VALUE else text[:MAX_VALUE] + "…"


def routes() -> list[Route]:
    return [page("/audit", show)]
